package cli

import (
	"context"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/runner"
)

// runnerCmd is `ruedo runner`.
type runnerCmd struct {
	Cores               []string `placeholder:"URL" sep:"none" setting:"runner.cores"`
	Name                string   `placeholder:"NAME" setting:"runner.name"`
	Concurrency         string   `placeholder:"N" setting:"runner.concurrency"`
	Queue               string   `placeholder:"N" setting:"runner.queue"`
	CacheDir            string   `placeholder:"DIR" setting:"runner.cache_dir"`
	AnnouncementAddress string   `placeholder:"HOST" setting:"runner.announcement_address"`
	EtcdHosts           []string `placeholder:"HOST:PORT" sep:"none" setting:"store.etcd_hosts"`
	StartTimeout        string   `placeholder:"DURATION" setting:"store.start_timeout"`
}

func (*runnerCmd) Examples() []string {
	return []string{
		"ruedo runner --cores http://core.example.net:7833    at an edge: needs no store",
		"ruedo runner --etcd-hosts 'db1:2379 db2:2379'        finds the cores in etcd",
		"RUEDO_APPLICATION_MODE=runner ruedo                  the same by environment",
	}
}

func (c *runnerCmd) Run(a *app) error {
	log := a.logger()
	s := a.settings
	if len(s.Runner.Cores) == 0 && len(s.Store.EtcdHosts) == 0 {
		return fault.New(fault.ConfigInvalid, "the runner knows no core: neither cores nor etcd hosts are named").
			WithFix("ruedo runner --cores http://127.0.0.1:7833, or set RUEDO_STORE_ETCD_HOSTS")
	}
	var directory runner.Directory
	if len(s.Store.EtcdHosts) > 0 {
		tlsConfig, err := etcdTLS(s.Store)
		if err != nil {
			return err
		}
		err = a.patiently(a.ctx, log, func(ctx context.Context) error {
			d, err := fleet.Dial(ctx, fleet.DirectoryConfig{Hosts: s.Store.EtcdHosts, TLS: tlsConfig, Cluster: s.Application.ClusterID, Logger: log})
			if err != nil {
				return err
			}
			directory = d
			a.later(d.Close)
			return nil
		})
		if err != nil {
			return err
		}
	}
	r, err := a.newRunner(a.ctx, log, func(cfg *runner.Config) {
		for _, url := range s.Runner.Cores {
			cfg.Cores = append(cfg.Cores, coreURL(url, s.Client.Port))
		}
		cfg.Directory = directory
	})
	if err != nil {
		return err
	}
	return r.Serve(a.ctx)
}
