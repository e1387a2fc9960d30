package cli

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/internal/cli/demo"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// demoCmd is `ruedo demo`.
type demoCmd struct {
	Dir  string `name:"examples" default:"examples" placeholder:"DIR" help:"Directory of the examples."`
	Port string `short:"p" placeholder:"PORT" setting:"server.port"`
}

func (*demoCmd) Examples() []string {
	return []string{"ruedo demo", "ruedo demo --examples src/ruedo/examples"}
}

func (c *demoCmd) Run(s *session.Session) error {
	if _, err := os.Stat(filepath.Join(c.Dir, "greet", project.ServiceFile)); err != nil {
		return fault.Wrap(err, fault.Usage, "there are no examples in %s", c.Dir).
			WithFix("run it in the repository of Ruedo, or name the directory with --examples DIR")
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	start := time.Now()
	// The usual port if it is free, so that the commands printed fit `ruedo dev`.
	if set := s.Settings; !set.IsSet("server.port") && session.Listening(s.Ctx, assemble.URL(set.Server.ListenAddress, set.Server.Port)) {
		set.Server.Port = 0
	}
	cluster, err := s.Assembler().Cluster(s.Ctx, s.QuietLogger(), "", 2)
	if err != nil {
		return err
	}
	defer cluster.Stop()
	if err := s.Printf("One process: an embedded store, a core at %s, runners %s (ready in %s).\n"+
		"The same, left running: ruedo dev. Then every command below can be repeated by hand.\n",
		cluster.URL, strings.Join(cluster.Runners, ", "), output.Duration(time.Since(start))); err != nil {
		return err
	}
	d := &demo.Demo{URL: cluster.URL, Program: program, Env: s.Env, Examples: c.Dir, Out: s.Out}
	steps, err := d.Run(s.Ctx)
	if err != nil {
		return err
	}
	return s.Printf("demo: all %d steps did what they say, in %s", steps, output.Duration(time.Since(start)))
}
