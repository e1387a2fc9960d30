package cli

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// rollbackCmd is `ruedo rollback`.
type rollbackCmd struct {
	Name string `arg:"" help:"Name of the service."`
	To   uint64 `placeholder:"REVISION" help:"Revision to go back to; the one before the live one where it is left out."`
}

func (*rollbackCmd) Examples() []string {
	return []string{"ruedo rollback greet", "ruedo rollback greet --to 3"}
}

func (c *rollbackCmd) Run(a *app) error {
	core, err := a.connect()
	if err != nil {
		return err
	}
	res, err := core.Services.RollbackService(a.ctx, &ruedov1.RollbackServiceRequest{Name: c.Name, Revision: c.To})
	if err != nil {
		return about(err, "service %s", c.Name)
	}
	if done, err := a.plain(res, c.Name); done {
		return err
	}
	return a.say("rolled back %s: revision %d is live, %d was", c.Name, res.GetService().GetRevision().GetNumber(), res.GetPrevious())
}
