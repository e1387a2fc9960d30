// Package decorate turns the decorators of a service into rules for its calls.
//
// Make decorators with a [Compiler], [Combine] them once per service, and wrap
// the dispatcher with [Rules.Middleware]. A schema is compiled once, by the first
// call of [Decorator.Ready]; then a call is checked with nothing compiled or
// looked up on its way.
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
//
// # What a check may cost
//
// Neither an input nor a schema can make a check expensive, and no answer is
// longer than some kilobytes.
//
//   - An input is read in one pass, which refuses what is over a bound: depth,
//     number of values, digits and exponent of a number (input.go, number.go).
//     A name that stands twice in an object is refused too: the guest might read
//     another one of the two than the schema.
//   - A schema is admitted before it is compiled (admit.go): size, depth, values,
//     subschemas, references; patterns by count, length and size of the RE2
//     program (pattern.go). A schema that refers to itself without looking at a
//     part of the input would never end, and is refused (work.go).
//   - The cost model has two halves (work.go). At creation, the work that a
//     single value can cost is added up over all that one rule refers to, and
//     bounded: that is where doubling references end. At run time every step of
//     a check is paid from the budget of the input, 50 ms of a processor,
//     before it is made; what grows with the input (strings, patterns, names,
//     comparisons) is paid by its length. An input that would cost more is
//     refused, and a check ends when its caller is gone.
//   - Violations are cut while they are found, and the check ends with the last
//     one that an answer has room for (field.go).
package decorate

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/exec"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Decorator is a decorator that can check calls. It is immutable.
type Decorator struct {
	*ruedov1.Decorator
	schema *schema // nil if it has none
}

// Compile returns a decorator whose schema is compiled; SCHEMA_INVALID,
// SCHEMA_REMOTE_REF or SCHEMA_LIMIT say what is wrong with it.
func Compile(ctx context.Context, d *ruedov1.Decorator) (*Decorator, error) {
	return NewCompiler().Admit(ctx, d)
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
		if err := r.Check(ctx, req.GetService(), req.GetInput()); err != nil {
			return nil, err
		}
		return next.Execute(ctx, req)
	})
}

// Check returns what is wrong with an input, or with a schema of the service: then
// it accepts no calls.
func (r *Rules) Check(ctx context.Context, service string, input []byte) error {
	if n := uint64(len(input)); n > r.Limits.GetInputBytes() {
		return r.TooLarge(service, fmt.Sprintf("%d bytes", n))
	}
	return r.checkSchemas(ctx, service, input)
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

func (r *Rules) checkSchemas(ctx context.Context, service string, input []byte) error {
	var c *checker
	for _, d := range r.decorators {
		if d.schema == nil {
			continue
		}
		if err := d.Ready(ctx); err != nil {
			return err
		}
		if c == nil {
			if err := ctx.Err(); err != nil {
				return err
			}
			c = d.schema.compiler.newChecker(ctx)
			defer d.schema.compiler.release(c)
			if err := c.read(ctx, input); err != nil {
				return unreadable(err, service, d.GetName())
			}
			c.spend(c.document.work())
		}
		c.check(d.schema.shared.rule, 0, false, nil)
		if c.stopped != nil {
			break
		}
	}
	if c == nil {
		return nil
	}
	return c.verdict(service)
}

// unreadable is the answer to an input that cannot be held against a schema.
func unreadable(err error, service, decorator string) error {
	ie, ok := errors.AsType[*inputError](err)
	if !ok {
		return err
	}
	var e *fault.Error
	switch {
	case ie.field != "":
		e = fault.New(fault.InputInvalid, "the input of service %s is not accepted: %s %s", service, ie.field, ie.text)
		e.Fields = []fault.Field{{Path: ie.field, Description: ie.text}}
	case ie.limit != "":
		e = fault.New(fault.InputInvalid, "the input of service %s is not accepted: %s", service, ie.text)
	default:
		e = fault.New(fault.InputInvalid, "the input of service %s is not JSON: %s", service, ie.text)
	}
	if ie.limit != "" {
		e.With("limit", ie.limit).With("actual", ie.actual)
	}
	return e.With("decorator", decorator).WithFix("ruedo call %s --use", service)
}

// verdict turns what was found into an answer.
func (c *checker) verdict(service string) error {
	more := ""
	switch c.stopped {
	case nil:
	case errEnough:
		more = "at least "
	case errOverWork:
		return fault.New(fault.InputInvalid, "the input of service %s would take more than %d units of work to check against its schema, which is the limit", service, maxWork).
			With("limit", strconv.Itoa(maxWork)).With("actual", "over "+strconv.Itoa(maxWork)).
			WithFix("send less at a time, or make the schema simpler")
	case errTooDeep:
		return fault.New(fault.InputInvalid, "the input of service %s nests too deep for its schema: checking it needs more than %d levels", service, maxFrames).
			With("limit", strconv.Itoa(maxFrames)).With("actual", "over "+strconv.Itoa(maxFrames)).
			WithFix("send an input that nests less, or make the schema simpler")
	default:
		return c.stopped
	}
	if len(c.fields) == 0 {
		return nil
	}
	e := fault.New(fault.InputInvalid, "the input of service %s breaks its schema in %s%s", service, more, plural(len(c.fields), "field")).
		WithFix("ruedo call %s --use", service)
	e.Fields = c.fields
	return e
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
