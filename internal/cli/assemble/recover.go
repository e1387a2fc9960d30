package assemble

import (
	"context"
	"log/slog"

	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// DataDir is where the embedded store of this process keeps its files.
func (a *Assembler) DataDir() string { return a.dataDir() }

// Recover makes the member in the data directory the only one of its store. It
// returns the names of the members that are gone, and the last revision that is
// left.
func (a *Assembler) Recover(ctx context.Context, log *slog.Logger) (gone []string, revision int64, err error) {
	if len(a.Settings.Store.EtcdHosts) > 0 {
		return nil, 0, fault.New(fault.StoreExternal, "store.etcd_hosts names an etcd of its own").WithFix("recover it with its own tools, for example etcdutl")
	}
	r, err := etcdembed.Recover(ctx, etcdembed.Config{Dir: a.dataDir(), Logger: log})
	if err != nil {
		return nil, 0, err
	}
	for _, m := range r.Gone {
		name := m.Name
		if name == "" {
			name = m.URLs[0]
		}
		gone = append(gone, name)
	}
	return gone, r.Revision, nil
}
