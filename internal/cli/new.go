package cli

import (
	"path/filepath"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/scaffold"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// newCmd is `ruedo new`.
type newCmd struct {
	Name string `arg:"" help:"Name of the service, and of the folder."`
	Dir  string `placeholder:"DIR" help:"Folder to make; NAME in the current one where it is left out."`
}

func (*newCmd) Examples() []string {
	return []string{"ruedo new greet && cd greet && ruedo publish", "ruedo new greet --dir services/greet"}
}

func (c *newCmd) Run(a *app) error {
	if err := project.CheckName("service", c.Name); err != nil {
		return err
	}
	if a.sdk == nil {
		return fault.New(fault.Internal, "this program was built without the SDK: it cannot make new services")
	}
	dir := c.Dir
	if dir == "" {
		dir = c.Name
	}
	paths, err := scaffold.Write(dir, c.Name, a.sdk)
	if err != nil {
		return err
	}
	if !a.print.ForPeople() && a.print.Format != output.Name {
		return a.print.Value(map[string]any{"name": c.Name, "folder": dir, "files": paths})
	}
	if a.print.Format == output.Name {
		return a.say("%s", dir)
	}
	a.talk("next: cd %s && ruedo publish", dir)
	return a.say("created %s: %s, %s, %s, %s", filepath.Clean(dir)+"/", "main.go", "main_test.go", project.ServiceFile, project.DecoratorsFile)
}
