package publishing

import (
	"strconv"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Rollback is `ruedo rollback`.
type Rollback struct {
	Name  []string `arg:"" complete:"service" help:"Name of the service, or the word decorator and the name of a decorator."`
	To    *uint64  `placeholder:"REVISION" complete:"revision" help:"Revision to go back to. Default: the one before the live one."`
	Force bool     `help:"Roll back a decorator even if services that carry it could not run."`
}

// Help is the part of the help that comes after the first line.
func (*Rollback) Help() string {
	return `Has the runners prepare the older revision and makes it live in one step. Its
module, environment and arguments are restored; nothing is uploaded. Its decorators
apply as they are now. If the revision cannot run with their limits, the limits
that it was published with hold until the next publish.

A decorator goes back as a whole: schema, limits and policy. The runners prepare
the services that carry it first, as ruedo apply does.`
}

func (*Rollback) Examples() []string {
	return []string{"ruedo rollback greet", "ruedo rollback greet --to 3", "ruedo rollback decorator small --to 2"}
}

func (c *Rollback) Run(s *session.Session) error {
	noun, name, err := c.target()
	if err != nil {
		return err
	}
	var to uint64 // for the core, 0 means the previous revision
	if c.To != nil {
		if to = *c.To; to == 0 {
			return fault.New(fault.Usage, "--to 0: revisions are counted from 1").WithFix("ruedo get revisions %s", strings.TrimPrefix(noun+"/"+name, "service/"))
		}
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	if noun == "decorator" {
		res, err := core.Decorators.RollbackDecorator(s.Ctx, &ruedov1.RollbackDecoratorRequest{Name: name, Revision: to, Force: c.Force})
		if err != nil {
			return session.About(err, "decorator %s", name)
		}
		if done, err := s.PrintMessage(res, name); done {
			return err
		}
		return s.Printf("rolled back decorator %s: revision %d is live, %d was", name, res.GetDecorator().GetRevision(), res.GetPrevious())
	}
	res, err := core.Services.RollbackService(s.Ctx, &ruedov1.RollbackServiceRequest{Name: name, Revision: to})
	if err != nil {
		return session.About(err, "service %s", name)
	}
	if done, err := s.PrintMessage(res, name); done {
		return err
	}
	if err := s.Printf("rolled back %s: revision %d is live, %d was", name, res.GetService().GetRevision().GetNumber(), res.GetPrevious()); err != nil {
		return err
	}
	if res.GetService().GetLimits() != nil {
		s.Warnf("it cannot run with its decorators as they are now; the limits that it was published with hold until the next publish")
	}
	return nil
}

// target returns what to roll back: NAME or service NAME, decorator NAME or
// decorator/NAME.
func (c *Rollback) target() (noun, name string, err error) {
	noun, name = "service", c.Name[0]
	if len(c.Name) == 1 {
		if before, after, ok := strings.Cut(name, "/"); ok {
			noun, name = before, after
		}
	} else {
		noun, name = c.Name[0], c.Name[1]
	}
	switch noun {
	case "services", "svc":
		noun = "service"
	case "decorators":
		noun = "decorator"
	}
	switch _, err := strconv.ParseUint(c.Name[len(c.Name)-1], 10, 64); {
	case len(c.Name) == 2 && err == nil && noun != "service" && noun != "decorator":
		return "", "", fault.New(fault.Usage, "unexpected argument %s", name).WithFix("name the revision with --to: ruedo rollback %s --to %s", c.Name[0], name)
	case len(c.Name) > 2:
		return "", "", fault.New(fault.Usage, "unexpected argument %s", c.Name[2]).WithFix("ruedo rollback --help")
	case noun == "decorator", noun == "service":
		return noun, name, nil
	}
	return "", "", fault.New(fault.Usage, "%s cannot be rolled back: service or decorator is expected", noun).WithFix("ruedo rollback --help")
}
