package cli

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// rollbackCmd is `ruedo rollback`.
type rollbackCmd struct {
	Name string `arg:"" complete:"service" help:"Name of the service."`
	To   uint64 `placeholder:"REVISION" help:"Revision to go back to. Default: the one before the live one."`
}

// Help is the part of the help that comes after the first line.
func (*rollbackCmd) Help() string {
	return `Has the runners prepare the older revision and makes it live in one step. Its
module, environment and arguments are restored; nothing is uploaded. Its decorators
apply as they are now.`
}

func (*rollbackCmd) Examples() []string {
	return []string{"ruedo rollback greet", "ruedo rollback greet --to 3"}
}

func (c *rollbackCmd) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Services.RollbackService(s.Ctx, &ruedov1.RollbackServiceRequest{Name: c.Name, Revision: c.To})
	if err != nil {
		return session.About(err, "service %s", c.Name)
	}
	if done, err := s.PrintMessage(res, c.Name); done {
		return err
	}
	return s.Printf("rolled back %s: revision %d is live, %d was", c.Name, res.GetService().GetRevision().GetNumber(), res.GetPrevious())
}
