package publishing

import (
	"context"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/cases"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Check is `ruedo check`.
type Check struct {
	Source string `arg:"" optional:"" default:"." help:"Directory of the service, or a .wasm file. Default: the current directory."`
	guestFlags
	Calls string `placeholder:"FILE" help:"YAML file with calls to make and the outputs or errors to expect."`
}

// Help is the part of the help that comes after the first line.
func (*Check) Help() string {
	return `Builds the service, compiles its module in the sandbox that runners have, starts
it and calls its example. Prints what it found, and suggests limits with some headroom.

--calls makes the calls of a file, with the schema of the types and the schemas and
limits of the decorators next to the service, and compares what they return:

  ` + strings.ReplaceAll(strings.TrimSpace(cases.Example), "\n", "\n  ")
}

func (*Check) Examples() []string {
	return []string{"ruedo check", "ruedo check --calls cases.yaml", "ruedo check app.wasm --example '{}'", "ruedo check app.wasm -o json"}
}

func (c *Check) Run(s *session.Session) error {
	over, err := c.overlay()
	if err != nil {
		return err
	}
	var calls []cases.Case
	if c.Calls != "" {
		if calls, err = cases.Read(c.Calls); err != nil {
			return err
		}
	}
	src, err := source.Open(s, c.Source, source.Label(c.Source), over)
	if err != nil {
		return err
	}
	if err := src.Examine(s, false); err != nil {
		return session.About(err, "service %s", src.Name())
	}
	src.Reconcile(s)
	if err := cases.Fit(src); err != nil {
		return err
	}
	if len(calls) > 0 && src.Kind() == ruedov1.Kind_KIND_HTTP {
		return fault.New(fault.Usage, "%s is of kind http: --calls is for the inputs of functions", src.Name()).WithFix("list its requests under example in ruedo.yaml, or test the handler with package web's Test")
	}
	trial, err := load(s, src)
	if err != nil {
		return session.About(err, "service %s", src.Name())
	}
	defer trial.Close(s.Ctx)
	if src.Kind() == ruedov1.Kind_KIND_HTTP && !trial.Report.HasExample {
		price := "which can take several times as long"
		if trial.Report.Cold != 0 {
			price = trial.Report.Price()
		}
		s.Warnf("the service has no example, so each call repeats the work of a first one: %s; write one as example: {method: GET, path: /}", price)
	}
	var results []cases.Result
	if len(calls) > 0 {
		if results, err = cases.Run(s.Ctx, calls, cases.Guarded(src, trial)); err != nil {
			return err
		}
		trial.Report.Calls = results
	}
	if err := printReport(s, src.Name(), trial.Report); err != nil {
		return err
	}
	return cases.Print(s, results)
}

// load loads the module within a time that no module needs.
func load(s *session.Session, src *source.Source) (*source.Trial, error) {
	ctx, cancel := context.WithTimeout(s.Ctx, 2*time.Minute)
	defer cancel()
	return src.Load(ctx, s)
}

func printReport(s *session.Session, name string, report *source.Report) error {
	if !s.Print.ForPeople() {
		return s.Print.Value(report.Value())
	}
	if err := s.Printf("%s can be published", name); err != nil {
		return err
	}
	for _, line := range report.Lines(s.Verbose) {
		if err := s.Printf("  %s", line); err != nil {
			return err
		}
	}
	return nil
}
