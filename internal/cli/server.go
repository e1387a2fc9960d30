package cli

import (
	"context"

	"github.com/ruedo-dev/ruedo/core"
)

// serverCmd is `ruedo server`.
type serverCmd struct {
	ListenAddress        string `placeholder:"ADDRESS" setting:"server.listen_address"`
	Port                 string `short:"p" placeholder:"PORT" setting:"server.port"`
	AdvertiseURL         string `name:"advertise-url" placeholder:"URL" setting:"server.advertise_url"`
	DistributedExecution bool   `negatable:"" setting:"server.distributed_execution"`
	InsecureListen       bool   `setting:"server.insecure_listen"`
	storeFlags
}

func (*serverCmd) Examples() []string {
	return []string{
		"ruedo server                                        alone, on an embedded store",
		"ruedo server --etcd-hosts 'db1:2379 db2:2379' --distributed-execution",
		"RUEDO_APPLICATION_MODE=server ruedo                 the same by environment",
	}
}

func (c *serverCmd) Run(a *app) error {
	addr, err := a.listenAddress()
	if err != nil {
		return err
	}
	log := a.logger()
	ctx, st, err := a.openStore(a.ctx, a.dataDir(), log)
	if err != nil {
		return err
	}
	distributed := a.settings.Server.DistributedExecution
	var local core.Local
	if !distributed {
		if local, err = a.newRunner(ctx, log, nil); err != nil {
			return err
		}
	}
	srv, err := a.newCore(ctx, log, st, func(cfg *core.Config) {
		cfg.Listen, cfg.URL = addr, a.advertised()
		cfg.Distributed, cfg.Local = distributed, local
	})
	if err != nil {
		return err
	}
	if err := srv.Serve(ctx); err != nil {
		return err
	}
	return ended(ctx, a.ctx)
}

// ended is nil where the outer context ended, as by a signal, and otherwise why
// the inner one did.
func ended(inner, outer context.Context) error {
	if outer.Err() != nil {
		return nil
	}
	return context.Cause(inner)
}
