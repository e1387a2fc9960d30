package cli

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/internal/cli/derive"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
	"github.com/ruedo-dev/ruedo/internal/cli/watch"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxRunners bounds the runners of one process.
const maxRunners = 64

// devCmd is `ruedo dev`.
type devCmd struct {
	Dir            string `arg:"" optional:"" help:"Directory of the service to watch. Default with --watch: the current directory."`
	Watch          bool   `short:"w" help:"Publish the service now, and again each time one of its files changes."`
	DataDir        string `placeholder:"DIR" help:"Directory to keep the store in. Default: a temporary one."`
	Runners        int    `default:"2" placeholder:"N" help:"Number of runners to attach."`
	ListenAddress  string `placeholder:"ADDRESS" setting:"server.listen_address"`
	Port           string `short:"p" placeholder:"PORT" setting:"server.port"`
	AppsListen     string `placeholder:"HOST:PORT" setting:"server.apps_listen"`
	InsecureListen bool   `setting:"server.insecure_listen"`
	Auth           string `placeholder:"MODE" setting:"auth.mode"`
}

// Help is the part of the help that comes after the first line.
func (*devCmd) Help() string {
	return `Everything runs in this process. What is published is gone when it ends, unless
--data-dir names a directory. Each call is shown on stderr: the service with its
revision, the duration and the outcome, with what the service logged below. Other
records of the cluster are shown if they are warnings; -v or --log-level shows
more.

--watch publishes the service in DIR now, and again each time one of its files
changes. Build errors are printed, and the live revision stays live.`
}

func (*devCmd) Examples() []string {
	return []string{"ruedo dev", "ruedo dev --watch greet", "ruedo dev --data-dir ./cluster --port 0"}
}

func (c *devCmd) Run(s *session.Session) error {
	if c.Dir != "" && !c.Watch {
		return fault.New(fault.Usage, "a directory needs --watch").WithFix("ruedo dev --watch %s", c.Dir)
	}
	if c.Watch {
		if err := watch.Check(cmp.Or(c.Dir, ".")); err != nil {
			return err
		}
	}
	if c.Runners < 0 || c.Runners > maxRunners {
		return fault.New(fault.Usage, "--runners is %d: a number from 0 to %d is expected", c.Runners, maxRunners)
	}
	serving(s)
	start := time.Now()
	log := s.Logger()
	if s.Print.ForPeople() && s.Settings.Log.Format == "text" {
		calls := output.Calls{W: s.Err, Color: s.Color()}
		if s.Verbose || s.Settings.IsSet("log.level") {
			calls.Others = log.Handler()
		}
		log = slog.New(calls)
	}
	cluster, err := s.Assembler().Cluster(s.Ctx, log, c.DataDir, c.Runners)
	if err != nil {
		return err
	}
	defer cluster.Stop()
	if err := c.printReady(s, cluster, time.Since(start)); err != nil {
		return err
	}
	if !c.Watch {
		return cluster.Wait()
	}
	return c.watch(s, cluster)
}

// watch publishes the directory until the cluster ends.
func (c *devCmd) watch(s *session.Session, cluster *assemble.Cluster) error {
	core, err := s.Other(nil, cluster.URL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.Ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- cluster.Wait()
	}()
	dir := cmp.Or(c.Dir, ".")
	var last derive.Listing
	err = watch.Publishing(ctx, s, dir, func() error { return source.PublishDir(s, core, dir, cluster, &last) })
	cluster.Stop()
	return errors.Join(err, <-ended)
}

func (c *devCmd) printReady(s *session.Session, cluster *assemble.Cluster, took time.Duration) error {
	url := cluster.URL
	if !s.Print.ForPeople() {
		ready := map[string]any{"url": url, "runners": cluster.Runners}
		if cluster.AppsURL != "" {
			ready["apps_url"] = cluster.AppsURL
		}
		return s.Print.Value(ready)
	}
	apps := ""
	if cluster.AppsURL != "" {
		apps = "\n  apps      " + cluster.AppsURL + "/svc/NAME/"
	}
	kept := "temporary, gone when this ends (--data-dir DIR keeps it)"
	if c.DataDir != "" {
		kept = c.DataDir
	}
	return s.Printf(`ready in %s

  core      %s
  calls     %s/call/NAME%s
  runners   %s
  store     %s

Try, in another terminal:

  ruedo new greet && cd greet && ruedo publish
  ruedo call greet -d '{"name":"Ada"}'
  curl -d '{"name":"Ada"}' %s/call/greet
%s
Ctrl-C ends it.`, output.Duration(took), url, url, apps, cmp.Or(strings.Join(cluster.Runners, ", "), "none"), kept, url, s.HostHint(url))
}
