package cases

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/decorate"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// Guarded returns a call as a core makes it: it reaches the module only if its
// input passes the schemas.
func Guarded(src *source.Source, trial *source.Trial) Call {
	rules := rules(src)
	return func(ctx context.Context, input []byte) ([]byte, error) {
		if err := rules.Check(ctx, src.Name(), input); err != nil {
			return nil, err
		}
		return trial.Call(ctx, input)
	}
}

// Fit returns why a service cannot carry the decorators that are known here, as a
// core would refuse it.
func Fit(src *source.Source) error { return rules(src).Fit(src.Name()) }

func rules(src *source.Source) *decorate.Rules {
	compiler := decorate.NewCompiler()
	var ds []*decorate.Decorator
	for _, d := range src.Carried() {
		ds = append(ds, compiler.Decorator(d))
	}
	if own := compiler.Types(&ruedov1.Revision{Service: src.Name(), InputSchema: src.Request.GetInputSchema()}); own != nil {
		ds = append(ds, own)
	}
	return decorate.Combine(src.Kind(), ds)
}

// Print prints a line per call, and returns CASES_FAILED if one differs
// from what is expected.
func Print(s *session.Session, results []Result) error {
	if s.Print.ForPeople() {
		for _, r := range results {
			line := "ok    " + output.Safe(r.Name) + " (" + r.Duration + ")"
			if !r.OK {
				line = "FAIL  " + output.Safe(r.Name) + "\n      " + output.Safe(r.Problem)
			}
			if err := s.Printf("%s", line); err != nil {
				return err
			}
		}
	}
	if n := Failed(results); n > 0 {
		return fault.New(fault.CasesFailed, "%d of %s did not return what is expected", n, text.Count(len(results), "call"))
	}
	return nil
}
