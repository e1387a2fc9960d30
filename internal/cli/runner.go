package cli

import (
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// runnerCmd is `ruedo runner`.
type runnerCmd struct {
	Cores               []string `placeholder:"URL" sep:"none" setting:"runner.cores"`
	Name                string   `placeholder:"NAME" setting:"runner.name"`
	Labels              []string `placeholder:"KEY=VALUE" sep:"none" setting:"runner.labels"`
	ID                  string   `name:"id" placeholder:"ID" setting:"runner.id"`
	Concurrency         string   `placeholder:"N" setting:"runner.concurrency"`
	Queue               string   `placeholder:"N" setting:"runner.queue"`
	Streams             string   `placeholder:"N" setting:"runner.streams"`
	CacheDir            string   `placeholder:"DIR" setting:"runner.cache_dir"`
	LogSuccesses        bool     `negatable:"" setting:"runner.log_successes"`
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

func (c *runnerCmd) Run(s *session.Session) error {
	a, log := process(s)
	return a.Runner(s.Ctx, log)
}
