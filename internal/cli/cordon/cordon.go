// Package cordon is the commands that take runners out of service and put them
// back: cordon, uncordon and drain.
package cordon

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// one is the argument that names a runner.
type one struct {
	Runner string `arg:"" complete:"runner" help:"Id of the runner, or a name that only one has."`
}

// terms are the flags of a cordon.
type terms struct {
	Reason string         `placeholder:"TEXT" help:"Say why, for whoever finds the runner cordoned."`
	For    *time.Duration `placeholder:"DURATION" help:"End the cordon on its own after this time, for example 2h. Default: it lasts until ruedo uncordon."`
	Force  bool           `help:"Change the cordon also if somebody else made it."`
}

// cordon cordons the runner.
func (t *terms) cordon(s *session.Session, core *client.Client, runner string) (*ruedov1.CordonRunnerResponse, error) {
	req := &ruedov1.CordonRunnerRequest{Runner: runner, From: session.Who(), Reason: t.Reason, Force: t.Force}
	if t.For != nil {
		if *t.For <= 0 {
			return nil, fault.New(fault.Usage, "--for is %s: a time longer than zero is expected", *t.For).WithFix("use one such as 2h, or leave it out")
		}
		req.Duration = durationpb.New(*t.For)
	}
	res, err := core.Cordons.CordonRunner(s.Ctx, req)
	return res, session.About(err, "runner %s", runner)
}

// Cordon is `ruedo cordon`.
type Cordon struct {
	one
	terms
}

// Help is the part of the help that comes after the first line.
func (*Cordon) Help() string {
	return `A cordoned runner gets no new calls and prepares no services; what runs on it goes
on. All cores heed the cordon. It outlives restarts of the cores and of the runner,
and says in ruedo get runners who cordoned the runner, why and until when.
Cordoning it again changes the reason and the time.`
}

// Examples returns the examples in the help.
func (*Cordon) Examples() []string {
	return []string{
		"ruedo cordon edge-7f3k2m",
		"ruedo cordon edge-7f3k2m --reason 'new disk' --for 2h",
	}
}

// Run cordons the runner.
func (c *Cordon) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := c.cordon(s, core, c.Runner)
	if err != nil {
		return err
	}
	cordon := res.GetCordon()
	if done, err := s.PrintMessage(res, cordon.GetRunner()); done {
		return err
	}
	if res.GetUnchanged() {
		return s.Printf("unchanged: runner %s is cordoned %s", cordon.GetRunner(), output.Safe(Terms(cordon)))
	}
	return s.Printf("cordoned runner %s %s", cordon.GetRunner(), output.Safe(ends(cordon)))
}

// Uncordon is `ruedo uncordon`.
type Uncordon struct{ one }

// Help is the part of the help that comes after the first line.
func (*Uncordon) Help() string {
	return `The runner prepares the services that it has missed, and gets calls for each of them
when it is ready.`
}

// Examples returns the examples in the help.
func (*Uncordon) Examples() []string { return []string{"ruedo uncordon edge-7f3k2m"} }

// Run ends the cordon.
func (c *Uncordon) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Cordons.UncordonRunner(s.Ctx, &ruedov1.UncordonRunnerRequest{Runner: c.Runner})
	if err != nil {
		return session.About(err, "runner %s", c.Runner)
	}
	if done, err := s.PrintMessage(res, res.GetRunner()); done {
		return err
	}
	if res.GetUnchanged() {
		return s.Printf("unchanged: runner %s is not cordoned", res.GetRunner())
	}
	text := ""
	if from := res.GetPrevious().GetFrom(); from != "" && from != session.Who() {
		text = ", which " + from + " had cordoned"
	}
	return s.Printf("uncordoned runner %s%s", res.GetRunner(), output.Safe(text))
}

// Terms says who cordoned a runner, since when, until when and why: "by
// ada@laptop 5m ago, for 1h55m0s more: new disk".
func Terms(c *ruedov1.Cordon) string {
	text := output.Age(time.Now(), c.GetCreateTime().AsTime()) + " ago, " + ends(c)
	if c.GetFrom() != "" {
		text = "by " + c.GetFrom() + " " + text
	}
	return text
}

// ends says until when a runner is cordoned, and why.
func ends(c *ruedov1.Cordon) string {
	text := "until it is uncordoned"
	if c.GetEndTime() != nil {
		text = "for " + Left(c)
	}
	if c.GetReason() != "" {
		text += ": " + c.GetReason()
	}
	return text
}

// Left says how long a cordon with an end still lasts: "1h55m0s".
func Left(c *ruedov1.Cordon) string {
	return output.Duration(max(0, time.Until(c.GetEndTime().AsTime())).Round(time.Second))
}
