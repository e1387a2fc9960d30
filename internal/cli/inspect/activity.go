package inspect

import (
	"fmt"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// every is how often --watch asks.
const every = 2 * time.Second

// Activity is `ruedo inspect cluster activity`.
type Activity struct {
	Service string `placeholder:"NAME" complete:"service" help:"Show only calls of this service."`
	Runner  string `placeholder:"ID" complete:"runner" help:"Show only calls on this runner."`
	Core    string `placeholder:"ID" complete:"core" help:"Show only calls of this core."`
	Watch   bool   `short:"w" help:"Show it again every two seconds."`
}

// Help is the part of the help that comes after the first line.
func (*Activity) Help() string {
	return `Any core answers; it asks the other cores. Calls that have run the longest come first,
and 1,000 of them are shown at most. A call is shown from when it is sent to a runner
until that answers; it may be queued there. -o wide adds ids and the core.

With --watch and -o json there is one object each time, on a line of its own.`
}

func (*Activity) Examples() []string {
	return []string{"ruedo inspect cluster activity", "ruedo inspect cluster activity --service greet --watch"}
}

func (c *Activity) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	req := &ruedov1.ListActivityRequest{Service: c.Service, Runner: c.Runner, Core: c.Core}
	for {
		res, err := core.Inspect.ListActivity(s.Ctx, req)
		if err == nil {
			err = c.show(s, res)
		}
		if err != nil || !c.Watch {
			return err
		}
		select {
		case <-time.After(every):
		case <-s.Ctx.Done():
			return s.Ctx.Err()
		}
	}
}

// show prints the calls of one moment.
func (c *Activity) show(s *session.Session, res *ruedov1.ListActivityResponse) error {
	if c.Watch && !s.Print.ForPeople() && s.Print.Format != output.Name {
		return s.Print.Item(res)
	}
	for _, silent := range res.GetSilentCores() {
		s.WarnOnce("core "+silent.GetCore().GetId(), "calls of core %s are missing: %s", silent.GetCore().GetId(), output.Safe(silent.GetError()))
	}
	if c.Watch && s.Print.ForPeople() {
		shown := fmt.Sprintf("%s: %d calls", time.Now().Format(time.TimeOnly), res.GetTotal())
		if err := s.Printf("%s", shown); err != nil {
			return err
		}
	}
	return output.List(&s.Print, res, res.GetItems(), (*ruedov1.RunningCall).GetCallId, "no calls", columns...)
}

var columns = []output.Column[*ruedov1.RunningCall]{
	{Head: "SERVICE", Cell: (*ruedov1.RunningCall).GetService},
	{Head: "REVISION", Cell: func(c *ruedov1.RunningCall) string {
		if c.GetRevision() == 0 {
			return ""
		}
		return fmt.Sprint(c.GetRevision())
	}},
	{Head: "RUNNER", Cell: (*ruedov1.RunningCall).GetRunner},
	{Head: "STARTED", Cell: func(c *ruedov1.RunningCall) string {
		return c.GetStartTime().AsTime().Local().Format(time.TimeOnly)
	}},
	{Head: "DURATION", Cell: func(c *ruedov1.RunningCall) string { return output.Duration(c.GetDuration().AsDuration()) }},
	{Head: "CALLER", Cell: (*ruedov1.RunningCall).GetCaller},
	{Head: "CALL", Cell: (*ruedov1.RunningCall).GetCallId, Wide: true},
	{Head: "CORE", Cell: (*ruedov1.RunningCall).GetCore, Wide: true},
}
