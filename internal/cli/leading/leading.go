// Package leading is the commands about the core that leads: having it hand
// over, and having it run one of its jobs.
package leading

import (
	"errors"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Leader is `ruedo leader`.
type Leader struct {
	Yield Yield `cmd:"" help:"Have the leader hand over to another core."`
}

// Yield is `ruedo leader yield`.
type Yield struct {
	To string `placeholder:"CORE" complete:"core" help:"Id of the core that shall lead. Default: any other."`
}

// Help is the part of the help that comes after the first line.
func (*Yield) Help() string {
	return `Any core takes the order. It is carried out within a second, and no call or
publish notices: a core that leads only does more than the others.`
}

func (*Yield) Examples() []string {
	return []string{"ruedo leader yield", "ruedo leader yield --to core-7f3k2m"}
}

func (c *Yield) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Leader.YieldLeadership(s.Ctx, &ruedov1.YieldLeadershipRequest{To: c.To})
	if err != nil {
		return err
	}
	leader := res.GetLeader().GetCore()
	if done, err := s.PrintMessage(res, leader); done {
		return err
	}
	if res.GetUnchanged() {
		return s.Printf("unchanged: core %s leads", leader)
	}
	return s.Printf("core %s leads, core %s did", leader, res.GetPrevious())
}

// Job is `ruedo job`.
type Job struct {
	Run Run `cmd:"" help:"Run one of the leader's jobs now."`
}

// Run is `ruedo job run`.
type Run struct {
	Name   string `arg:"" complete:"job" help:"Name of the job; see ruedo get jobs."`
	DryRun bool   `help:"Change nothing; show what the job would remove."`
}

func (*Run) Examples() []string {
	return []string{"ruedo job run collect-modules --dry-run", "ruedo job run collect-modules"}
}

func (c *Run) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	req := &ruedov1.RunJobRequest{Name: c.Name, DryRun: c.DryRun}
	res, err := core.Jobs.RunJob(s.Ctx, req)
	if url := leaderURL(err); url != "" {
		if s.Verbose {
			s.Infof("core: %s (it leads)", url)
		}
		res, err = s.At(url).Jobs.RunJob(s.Ctx, req)
	}
	if err != nil {
		return session.About(err, "job %s", c.Name)
	}
	if done, err := s.PrintMessage(res, c.Name); done {
		return err
	}
	for _, item := range res.GetItems() {
		line := item.GetKind() + " " + item.GetName()
		if n := item.GetSizeBytes(); n > 0 {
			line += " (" + output.Size(n) + ")"
		}
		if err := s.Printf("%s", line); err != nil {
			return err
		}
	}
	return s.Printf("%s: %s", c.Name, res.GetRun().GetResult())
}

// leaderURL returns where the leader is, if the core that was asked is not it.
func leaderURL(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Reason == fault.NotLeader {
		return e.Meta["leader"]
	}
	return ""
}
