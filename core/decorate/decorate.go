// Package decorate turns the decorators of a service into rules for its calls.
//
// Call [Compile] once per decorator version, [Combine] once per service, and
// wrap the dispatcher with [Rules.Middleware]; then every call is checked with
// nothing compiled or looked up on its way.
//
// # What adds up to what
//
// All input schemas must pass. Of each limit the strictest value wins, and
// [Rules.Limits] resolves every limit: where no decorator sets one, the
// cluster's default holds. One decorator that says idempotent is enough.
//
// # Who enforces what
//
// What is about the fleet (schema, size of the input) ends here and never
// costs a runner anything. What is about one instance (memory, time, output,
// logs) travels in the [Plan] and is enforced in the sandbox.
package decorate

import (
	"context"
	"fmt"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/exec"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Decorator is a decorator made ready to check calls. It is immutable.
type Decorator struct {
	*ruedov1.Decorator
	schema *schema // nil where it has none
}

// Compile makes a decorator ready; SCHEMA_INVALID or SCHEMA_REMOTE_REF say what
// is wrong with its schema.
func Compile(d *ruedov1.Decorator) (*Decorator, error) {
	s, err := compileSchema(d)
	if err != nil {
		return nil, err
	}
	return &Decorator{Decorator: d, schema: s}, nil
}

// Rules are what the decorators of one service add up to. They are immutable
// and safe for concurrent use.
type Rules struct {
	// Limits has every field set.
	Limits *ruedov1.Limits
	// Effective tells of each limit where it is from.
	Effective []*ruedov1.EffectiveLimit
	// Idempotent is true where a call may be executed again.
	Idempotent bool

	decorators []*Decorator
}

// Combine adds decorators up, in the order in which the service names them.
func Combine(ds []*Decorator) *Rules {
	r := &Rules{decorators: ds}
	r.Limits, r.Effective = combineLimits(ds)
	for _, d := range ds {
		r.Idempotent = r.Idempotent || d.GetPolicy().GetIdempotent()
	}
	return r
}

// Schemas gives the input schemas that a call must pass.
func (r *Rules) Schemas() []*ruedov1.InputSchema {
	var out []*ruedov1.InputSchema
	for _, d := range r.decorators {
		if d.schema != nil {
			out = append(out, &ruedov1.InputSchema{Decorator: d.GetName(), Schema: d.GetInputSchema()})
		}
	}
	return out
}

// Middleware refuses calls whose input breaks the rules: INPUT_TOO_LARGE, or
// INPUT_INVALID with every violated field named.
func (r *Rules) Middleware(next exec.Executor) exec.Executor {
	return exec.Func(func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		if err := r.Check(req.GetService(), req.GetInput()); err != nil {
			return nil, err
		}
		return next.Execute(ctx, req)
	})
}

// Check tells what is wrong with an input; nil where nothing is.
func (r *Rules) Check(service string, input []byte) error {
	if n := uint64(len(input)); n > r.Limits.GetInputBytes() {
		return r.TooLarge(service, fmt.Sprintf("%d bytes", n))
	}
	return r.checkSchemas(service, input)
}

// TooLarge is the answer to an input over the limit; actual says its size as
// far as it is known.
func (r *Rules) TooLarge(service, actual string) error {
	limit := r.effective("input_bytes")
	e := fault.New(fault.InputTooLarge, "input of %s is over the limit of %s of service %s", actual, limit.GetValue(), service).
		With("limit", limit.GetValue()).With("actual", actual)
	if d := limit.GetDecorator(); d != "" {
		return e.With("decorator", d).WithFix("send less, or raise limits.input in decorator %s", d)
	}
	return e.WithFix("send less, or raise limits.input in a decorator of the service")
}

func (r *Rules) effective(limit string) *ruedov1.EffectiveLimit {
	for _, e := range r.Effective {
		if e.GetLimit() == limit {
			return e
		}
	}
	return nil
}

func (r *Rules) checkSchemas(service string, input []byte) error {
	var value any
	parsed := false
	var fields []fault.Field
	for _, d := range r.decorators {
		if d.schema == nil {
			continue
		}
		if !parsed {
			v, err := parseJSON(input)
			if err != nil {
				return fault.New(fault.InputInvalid, "the input of service %s is not JSON: %v", service, err).
					With("decorator", d.GetName()).WithFix("ruedo call %s --use", service)
			}
			value, parsed = v, true
		}
		fields = append(fields, d.schema.violations(value)...)
	}
	if len(fields) == 0 {
		return nil
	}
	e := fault.New(fault.InputInvalid, "the input of service %s breaks its schema in %s", service, plural(len(fields), "field")).
		WithFix("ruedo call %s --use", service)
	e.Fields = fields
	return e
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
