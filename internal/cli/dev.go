package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
)

// devCmd is `ruedo dev`.
type devCmd struct {
	DataDir        string `placeholder:"DIR" help:"Keep what is stored in this folder; a temporary one where it is left out."`
	Runners        int    `default:"2" placeholder:"N" help:"How many runners to attach (default 2)."`
	ListenAddress  string `placeholder:"ADDRESS" setting:"server.listen_address"`
	Port           string `short:"p" placeholder:"PORT" setting:"server.port"`
	InsecureListen bool   `setting:"server.insecure_listen"`
}

func (*devCmd) Examples() []string {
	return []string{"ruedo dev", "ruedo dev --data-dir ./cluster --port 0"}
}

func (c *devCmd) Run(a *app) error {
	a.serving()
	start := time.Now()
	cluster, err := a.assembler().Cluster(a.ctx, a.logger(), c.DataDir, c.Runners)
	if err != nil {
		return err
	}
	defer cluster.Stop()
	url := cluster.URL
	if !a.print.ForPeople() {
		err = a.print.Value(map[string]any{"url": url, "runners": cluster.Runners})
	} else {
		kept := "temporary, gone when this ends (--data-dir DIR keeps it)"
		if c.DataDir != "" {
			kept = c.DataDir
		}
		err = a.say(`ready in %s

  core      %s
  calls     %s/call/NAME
  runners   %s
  store     %s

Try, in another terminal:

  ruedo new greet && cd greet && ruedo publish
  ruedo call greet -d '{"name":"Ada"}'
  curl -d '{"name":"Ada"}' %s/call/greet
%s
Ctrl-C ends it.`, output.Duration(time.Since(start)), url, url, or(strings.Join(cluster.Runners, ", "), "none"), kept, url, hostHint(a, url))
	}
	if err != nil {
		return err
	}
	return cluster.Wait()
}

// hostHint tells how to reach a cluster that is not where the CLI looks first.
func hostHint(a *app, url string) string {
	if url == assemble.URL(a.settings.Client.Host, a.settings.Client.Port) {
		return ""
	}
	return fmt.Sprintf("\nwith RUEDO_CLIENT_HOST=%s\n", url)
}
