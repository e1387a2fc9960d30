package cli

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// devCmd is `ruedo dev`.
type devCmd struct {
	DataDir        string `placeholder:"DIR" help:"Directory to keep the store in. Default: a temporary one."`
	Runners        int    `default:"2" placeholder:"N" help:"Number of runners to attach."`
	ListenAddress  string `placeholder:"ADDRESS" setting:"server.listen_address"`
	Port           string `short:"p" placeholder:"PORT" setting:"server.port"`
	InsecureListen bool   `setting:"server.insecure_listen"`
}

// Help is the part of the help that comes after the first line.
func (*devCmd) Help() string {
	return `Everything runs in this process. What is published is gone when it ends, unless
--data-dir names a directory. Each call is shown on stderr, with what the service
logged in it.`
}

func (*devCmd) Examples() []string {
	return []string{"ruedo dev", "ruedo dev --data-dir ./cluster --port 0"}
}

func (c *devCmd) Run(s *session.Session) error {
	serving(s)
	start := time.Now()
	log := s.Logger()
	if s.Print.ForPeople() && s.Settings.Log.Format == "text" {
		log = slog.New(output.CallLines(log.Handler(), s.Err))
	}
	cluster, err := s.Assembler().Cluster(s.Ctx, log, c.DataDir, c.Runners)
	if err != nil {
		return err
	}
	defer cluster.Stop()
	url := cluster.URL
	if !s.Print.ForPeople() {
		err = s.Print.Value(map[string]any{"url": url, "runners": cluster.Runners})
	} else {
		kept := "temporary, gone when this ends (--data-dir DIR keeps it)"
		if c.DataDir != "" {
			kept = c.DataDir
		}
		err = s.Printf(`ready in %s

  core      %s
  calls     %s/call/NAME
  runners   %s
  store     %s

Try, in another terminal:

  ruedo new greet && cd greet && ruedo publish
  ruedo call greet -d '{"name":"Ada"}'
  curl -d '{"name":"Ada"}' %s/call/greet
%s
Ctrl-C ends it.`, output.Duration(time.Since(start)), url, url, cmp.Or(strings.Join(cluster.Runners, ", "), "none"), kept, url, hostHint(s, url))
	}
	if err != nil {
		return err
	}
	return cluster.Wait()
}

// hostHint says how to reach a cluster that is not where the CLI looks first.
func hostHint(s *session.Session, url string) string {
	if url == assemble.URL(s.Settings.Client.Host, s.Settings.Client.Port) {
		return ""
	}
	return fmt.Sprintf("\nwith RUEDO_CLIENT_HOST=%s\n", url)
}
