package roster

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Member is an entry in the store that lives as long as its holder. Its methods
// can be called from many goroutines.
type Member struct {
	roster *Roster
	entry  *entry
	value  string
	closed bool // guarded by roster.mu
}

// Registered reports whether the entry is in the store, as far as is known.
func (m *Member) Registered() bool {
	m.roster.mu.Lock()
	defer m.roster.mu.Unlock()
	return !m.closed && m.entry.lease != clientv3.NoLease && m.entry.lease == m.roster.lease
}

// Leave ends the member. If it returns nil, the entry is gone, unless another
// member, here or in another process, holds it. If it returns an error, the entry
// disappears as soon as the store answers, or when the lease of this process runs
// out. Further calls do nothing.
func (m *Member) Leave(ctx context.Context) error { return m.roster.remove(ctx, m) }
