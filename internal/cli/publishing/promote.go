package publishing

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Promote is `ruedo promote`.
type Promote struct {
	Revision string `arg:"" placeholder:"NAME@REVISION" complete:"pinned" help:"Revision to make live, for example greet@4."`
}

// Help is the part of the help that comes after the first line.
func (*Promote) Help() string {
	return `Has the runners prepare the revision and makes it live in one step. It is the
counterpart of ruedo publish --no-live. ruedo rollback --to does the same, named
for the way back.`
}

func (*Promote) Examples() []string {
	return []string{"ruedo publish --no-live && ruedo call greet@4 --set name=Ada && ruedo promote greet@4"}
}

func (c *Promote) Run(s *session.Session) error {
	name, revision, err := project.SplitRevision(c.Revision)
	if err != nil {
		return err
	}
	if revision == 0 {
		return fault.New(fault.Usage, "%s names no revision", c.Revision).WithFix("ruedo get revisions %s", name)
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Services.RollbackService(s.Ctx, &ruedov1.RollbackServiceRequest{Name: name, Revision: revision})
	if err != nil {
		return session.About(err, "service %s", name)
	}
	if done, err := s.PrintMessage(res, name); done {
		return err
	}
	if res.GetPrevious() == revision {
		return s.Printf("unchanged %s: revision %d is live already", name, revision)
	}
	return s.Printf("promoted %s: revision %d is live, %d was", name, revision, res.GetPrevious())
}
