package cli

import (
	"log/slog"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// serverCmd is `ruedo server`.
type serverCmd struct {
	ListenAddress        string `placeholder:"ADDRESS" setting:"server.listen_address"`
	Port                 string `short:"p" placeholder:"PORT" setting:"server.port"`
	AppsListen           string `placeholder:"HOST:PORT" setting:"server.apps_listen"`
	AdvertiseURL         string `name:"advertise-url" placeholder:"URL" setting:"server.advertise_url"`
	Zone                 string `placeholder:"ZONE" setting:"server.zone"`
	Hosts                string `placeholder:"NAMES" setting:"server.hosts"`
	DistributedExecution bool   `negatable:"" setting:"server.distributed_execution"`
	InsecureListen       bool   `setting:"server.insecure_listen"`
	Auth                 string `placeholder:"MODE" setting:"auth.mode"`
	TLS                  string `name:"tls" placeholder:"MODE" setting:"tls.mode"`
	SealKeyFile          string `placeholder:"FILE" setting:"seal.key_file"`
	storeFlags
	Join             []string `placeholder:"URL" sep:"none" setting:"store.join"`
	Peers            []string `placeholder:"URL" sep:"none" setting:"store.peers"`
	PeerAddress      string   `placeholder:"HOST:PORT" setting:"store.peer_address"`
	PeerAdvertiseURL string   `name:"peer-advertise-url" placeholder:"URL" setting:"store.peer_advertise_url"`
	MemberName       string   `placeholder:"NAME" setting:"store.member_name"`
	Tick             string   `placeholder:"TICK" setting:"store.tick"`
	InsecurePeers    bool     `setting:"store.insecure_peers"`
}

func (*serverCmd) Examples() []string {
	return []string{
		"ruedo server                                        alone, on an embedded store",
		"ruedo server --peer-address 10.0.0.1:7834           the first of several cores with a store of their own",
		"ruedo server --peer-address 10.0.0.2:7834 --join http://10.0.0.1:7833",
		"ruedo server --etcd-hosts 'db1:2379 db2:2379' --distributed-execution",
		"RUEDO_APPLICATION_MODE=server ruedo                 the same by environment",
	}
}

func (c *serverCmd) Run(s *session.Session) error {
	a, log := process(s)
	return a.Server(s.Ctx, log)
}

// process returns what assembles a process that serves others, and its logger.
func process(s *session.Session) (*assemble.Assembler, *slog.Logger) {
	serving(s)
	a := s.Assembler()
	log, calls := s.Loggers()
	a.Calls = calls
	return a, log
}
