package cli

import (
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
)

// checkCmd is `ruedo check`.
type checkCmd struct {
	Source string `arg:"" optional:"" default:"." help:"Directory of the service, or a .wasm file. Default: the current directory."`
	guestFlags
}

// Help is the part of the help that comes after the first line.
func (*checkCmd) Help() string {
	return `Builds the service, compiles its module in the sandbox that runners have, starts
it and calls its example. Prints what it found, and suggests limits with some headroom.`
}

func (*checkCmd) Examples() []string {
	return []string{"ruedo check", "ruedo check app.wasm --example '{}'", "ruedo check app.wasm -o json"}
}

func (c *checkCmd) Run(s *session.Session) error {
	over, err := c.overlay()
	if err != nil {
		return err
	}
	src, err := source.Open(s, c.Source, source.Label(c.Source), over)
	if err != nil {
		return err
	}
	if _, err := source.Admit(s, src.Wasm); err != nil {
		return session.About(err, "service %s", src.Name())
	}
	report, err := src.Try(s)
	if err != nil {
		return session.About(err, "service %s", src.Name())
	}
	if !s.Print.ForPeople() {
		return s.Print.Value(report.Value())
	}
	if err := s.Printf("%s can be published", src.Name()); err != nil {
		return err
	}
	for _, line := range report.Lines() {
		if err := s.Printf("  %s", line); err != nil {
			return err
		}
	}
	return nil
}
