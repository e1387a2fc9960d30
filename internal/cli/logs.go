package cli

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// logsCmd is `ruedo logs`.
type logsCmd struct {
	Name string `arg:"" optional:"" complete:"service" help:"Name of the service. Not needed with --call."`

	Follow bool          `short:"f" help:"Continue with what the service logs from now on, until Ctrl-C."`
	Call   string        `placeholder:"ID" help:"Show only the call with this id."`
	Since  time.Duration `placeholder:"DURATION" help:"Show only what is at most this old, for example 10m."`
}

// Help is the part of the help that comes after the first line.
func (*logsCmd) Help() string {
	return `Shows what the service logged and printed, and why calls failed, from all runners
in order of time. Each runner keeps the last of each service in memory: what
failed calls logged and what successful ones logged. The lines of a call appear
when it has ended.

A line begins with the time and the id of the call; -o wide adds the runner and
the revision. With -o json there is one object for each call, on a line of its own.`
}

func (*logsCmd) Examples() []string {
	return []string{
		"ruedo logs greet",
		"ruedo logs greet -f --since 10m",
		"ruedo logs --call 01KAN4W2Z8Q5T0M3V7X1Y6B9CD      why this call failed",
	}
}

func (c *logsCmd) Run(s *session.Session) error {
	if c.Name == "" && c.Call == "" {
		return fault.New(fault.Usage, "neither a service nor a call is named").WithFix("ruedo logs SERVICE, or ruedo logs --call ID")
	}
	if c.Name != "" {
		if err := project.CheckName("service", c.Name); err != nil {
			return err
		}
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	req := &ruedov1.ReadLogsRequest{Service: c.Name, CallId: c.Call, Follow: c.Follow}
	if c.Since != 0 { // the core refuses what is negative
		req.Since = durationpb.New(c.Since)
	}
	seen := false
	for res, err := range core.ReadLogs(s.Ctx, req) {
		switch {
		case err != nil && c.Name == "":
			return err
		case err != nil:
			return session.About(err, "service %s", c.Name)
		}
		for _, g := range res.GetGaps() {
			s.Warnf("logs of runner %s are missing: %s", output.Safe(g.GetRunner()), output.Safe(g.GetMessage()))
		}
		for _, e := range res.GetEntries() {
			seen = true
			if err := s.Print.LogEntry(e); err != nil {
				return err
			}
		}
	}
	switch {
	case seen:
	case s.Local():
		s.Progressf("no logs: in mode local, a runner and what it keeps end with each command")
	default:
		s.Progressf("no logs: nothing failed, and the service logged nothing")
	}
	return nil
}
