package fleet

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// DefaultTTL is how long the entries of a process that has died remain.
const DefaultTTL = 5 * time.Second

// DefaultOpTimeout bounds one operation on the store.
const DefaultOpTimeout = 2 * time.Second

// Membership is an entry in the store that lives as long as its holder. Its
// methods can be called from many goroutines.
type Membership struct {
	roster *roster
	entry  *entry
	value  string
	closed bool // guarded by roster.mu
}

// registered reports whether the entry is in the store, as far as is known.
func (m *Membership) registered() bool {
	m.roster.mu.Lock()
	defer m.roster.mu.Unlock()
	return !m.closed && m.entry.lease != clientv3.NoLease && m.entry.lease == m.roster.lease
}

// Close ends the membership. If it returns nil, the entry is gone, unless another
// membership holds it. If it returns an error, the entry disappears as soon as the
// store answers, or when the lease of this process runs out. Further calls do
// nothing.
func (m *Membership) Close(ctx context.Context) error {
	return TranslateError(ctx, m.roster.remove(ctx, m), "remove "+m.entry.key)
}
