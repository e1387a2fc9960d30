package cordon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sdk/client/drain"
)

// Drain is `ruedo drain`.
type Drain struct {
	one
	terms
	Timeout time.Duration `placeholder:"DURATION" default:"5m" help:"How long to wait for calls in flight. Default: 5m."`
}

// Help is the part of the help that comes after the first line.
func (*Drain) Help() string {
	return `Cordons the runner, and waits until no core has a call in flight on it. Then the
runner can be stopped, and no caller notices. It stays cordoned until ruedo uncordon,
or for the time of --for.

A runner that somebody else has cordoned is drained under their cordon, as long as
neither --reason nor --for is given.`
}

// Examples returns the examples in the help.
func (*Drain) Examples() []string {
	return []string{
		"ruedo drain edge-7f3k2m --reason 'kernel update' --for 2h",
		"ruedo drain edge-7f3k2m --timeout 30s && ssh edge systemctl stop ruedo-runner",
	}
}

// Run cordons the runner and waits.
func (c *Drain) Run(s *session.Session) error {
	if c.Timeout <= 0 {
		return fault.New(fault.Usage, "--timeout is %s: a time longer than zero is expected", c.Timeout).WithFix("use one such as 30s, or leave it out")
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	cordoned, err := c.cordon(s, core, c.Runner)
	if err != nil {
		return err
	}
	cordon := cordoned.GetCordon()
	runner := cordon.GetRunner()
	if cordoned.GetUnchanged() {
		s.Progressf("runner %s is cordoned %s", runner, output.Safe(Terms(cordon)))
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.Ctx, c.Timeout)
	defer cancel()
	line := progress{s: s, shown: session.Terminal(s.Err) && s.Print.ForPeople() && !s.Quiet}
	res, err := drain.Wait(ctx, core, runner, cordon.GetVersion(), func(res *ruedov1.GetDrainResponse) {
		line.show("draining " + runner + ": " + state(res) + ", " + output.Duration(time.Since(began).Round(time.Second)))
	})
	line.clear()
	switch {
	case s.Ctx.Err() != nil:
		return s.Ctx.Err()
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return session.About(fault.New(fault.Deadline, "the runner is not drained after %s: %s; it stays cordoned", c.Timeout, state(res)).
			WithFix("wait longer: ruedo drain %s --timeout %s; or put it back: ruedo uncordon %[1]s", runner, 2*c.Timeout), "runner %s", runner)
	case err != nil:
		return session.About(err, "runner %s", runner)
	case res.GetCordon() == nil:
		return session.About(fault.New(fault.Conflict, "the cordon ended while the runner was being drained, so it gets calls again").
			With("runner", runner).WithFix("ruedo drain %s, with a longer time for --for if it expired", runner), "runner %s", runner)
	}
	if done, err := s.PrintMessage(res, runner); done {
		return err
	}
	if res.GetAway() {
		return s.Printf("runner %s is away and has no call in flight; it stays cordoned %s", runner, output.Safe(ends(res.GetCordon())))
	}
	return s.Printf("drained runner %s in %s; it stays cordoned %s", runner, output.Duration(time.Since(began)), output.Safe(ends(res.GetCordon())))
}

// state says what a drain still waits for.
func state(res *ruedov1.GetDrainResponse) string {
	if res == nil {
		return "no core answers"
	}
	s := text.Count(int(res.GetActiveCalls()), "call") + " in flight"
	var silent []string
	for _, core := range res.GetCores() {
		if core.GetUnreachable() {
			silent = append(silent, core.GetCore())
		}
	}
	switch len(silent) {
	case 0:
	case 1:
		s += ", without those of " + silent[0] + ", which does not answer"
	default:
		s += ", without those of " + strings.Join(silent, " and ") + ", which do not answer"
	}
	return s
}

// progress is a line on a terminal that changes.
type progress struct {
	s     *session.Session
	shown bool
	drawn bool
}

func (p *progress) show(line string) {
	if p.shown {
		fmt.Fprint(p.s.Err, "\r\x1b[K"+output.Safe(line))
		p.drawn = true
	}
}

// clear removes the line.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.s.Err, "\r\x1b[K")
	}
}
