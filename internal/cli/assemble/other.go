package assemble

import (
	"context"
	"log/slog"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/datadir"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Other starts a core within this process on another store, and returns a client
// of it. The core reads and writes the catalog; it executes nothing, and is not
// listed in the cluster. It ends with Close. If the store has nothing of the
// cluster yet, create makes it; otherwise the client is nil.
func (a *Assembler) Other(ctx context.Context, log *slog.Logger, st settings.Store, cluster string, create bool) (*client.Client, error) {
	set := *a.Settings
	set.Store, set.Application.ClusterID = st, cluster
	own := &Assembler{Settings: &set, Version: a.Version}
	a.onClose("the other store", own.Close)
	if !create && len(st.EtcdHosts) == 0 && !datadir.Exists(own.dataDir()) {
		return nil, nil
	}
	opened, err := own.openStore(ctx, own.dataDir(), log, nil)
	if err != nil {
		return nil, err
	}
	if !create {
		if has, err := hasCluster(ctx, opened, cluster); err != nil || !has {
			return nil, err
		}
	}
	c, err := own.newCore(ctx, log, opened, func(cfg *core.Config) { cfg.Listen, cfg.Distributed = "-", true })
	if err != nil {
		return nil, err
	}
	return own.inMemory(c.Handler()), nil
}

// hasCluster reports whether a store has anything of a cluster. It writes nothing.
func hasCluster(ctx context.Context, st store.Config, cluster string) (bool, error) {
	c, err := fleet.Open(fleet.Config{Hosts: st.Hosts, TLS: st.TLS, Login: st.Login, Client: st.Client, Cluster: cluster})
	if err != nil {
		return false, err
	}
	defer c.Close()
	format, err := c.CheckFormat(ctx)
	return format != nil, err
}
