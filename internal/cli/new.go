package cli

import (
	"cmp"
	"path/filepath"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/scaffold"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// newCmd is `ruedo new`.
type newCmd struct {
	Name     string `arg:"" help:"Name of the service, and of its directory."`
	Template string `placeholder:"TEMPLATE" enum:"function,http,connect" default:"function" complete:"function,http,connect" help:"What the service is: function takes and returns JSON, http is an http.Handler, connect answers Connect and gRPC."`
	Dir      string `placeholder:"DIR" help:"Directory to create. Default: NAME in the current one."`
}

func (*newCmd) Examples() []string {
	return []string{"ruedo new greet && cd greet && ruedo publish", "ruedo new greet --dir services/greet", "ruedo new shop --template http"}
}

func (c *newCmd) Run(s *session.Session) error {
	if err := project.CheckName("service", c.Name); err != nil {
		return err
	}
	if s.SDK == nil {
		return fault.New(fault.Internal, "this program was built without the SDK: it cannot create new services")
	}
	dir := cmp.Or(c.Dir, c.Name)
	paths, err := scaffold.Write(dir, c.Name, c.Template, s.SDK)
	if err != nil {
		return err
	}
	if !s.Print.ForPeople() && s.Print.Format != output.Name {
		return s.Print.Value(map[string]any{"name": c.Name, "folder": dir, "files": paths})
	}
	if s.Print.Format == output.Name {
		return s.Printf("%s", dir)
	}
	where := filepath.Clean(dir) + "/"
	if err := s.Printf("created %s: %s, %s, %s, %s", where, "main.go", "main_test.go", project.ServiceFile, project.DecoratorsFile); err != nil {
		return err
	}
	// Whether the shell changes the directory next is not known here.
	next := "next: ruedo publish"
	if where != "./" {
		next += ", in " + where
	}
	s.Infof("%s", next)
	return nil
}
