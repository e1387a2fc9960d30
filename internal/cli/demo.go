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
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// demoCmd is `ruedo demo`.
type demoCmd struct {
	Folder string `name:"examples" default:"examples" placeholder:"DIR" help:"Folder of the examples (default examples)."`
	Port   string `short:"p" placeholder:"PORT" setting:"server.port"`
}

func (*demoCmd) Examples() []string {
	return []string{"ruedo demo", "ruedo demo --examples src/ruedo/examples"}
}

func (c *demoCmd) Run(a *app) error {
	if _, err := os.Stat(filepath.Join(c.Folder, "greet", project.ServiceFile)); err != nil {
		return fault.Wrap(err, fault.Usage, "there are no examples in %s", c.Folder).
			WithFix("run it in the repository of Ruedo, or name the folder with --examples DIR")
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	start := time.Now()
	// The usual port where it is free, so that what is printed fits `ruedo dev`.
	if s := a.settings; !s.IsSet("server.port") && listening(a.ctx, assemble.URL(s.Server.ListenAddress, s.Server.Port)) {
		s.Server.Port = 0
	}
	cluster, err := a.assembler().Cluster(a.ctx, a.quietLogger(), "", 2)
	if err != nil {
		return err
	}
	defer cluster.Stop()
	if err := a.say("One process: an embedded store, a core at %s, runners %s (ready in %s).\n"+
		"The same, left running: ruedo dev. Then every command below can be repeated by hand.\n",
		cluster.URL, strings.Join(cluster.Runners, ", "), output.Duration(time.Since(start))); err != nil {
		return err
	}
	d := &demo.Demo{URL: cluster.URL, Program: program, Env: a.env, Examples: c.Folder, Out: a.out}
	steps, err := d.Run(a.ctx)
	if err != nil {
		return err
	}
	return a.say("demo: all %d steps did what they say, in %s", steps, output.Duration(time.Since(start)))
}
