package decorate

import (
	"context"
	"errors"

	"github.com/ruedo-dev/ruedo/core/decorate/schema"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Compiler makes decorators from stored ones. Equal schemas are compiled once:
// creating a decorator, publishing with it and calling a service that uses it
// share the result as long as one of them refers to it. It is safe for
// concurrent use.
type Compiler struct{ schemas *schema.Compiler }

// NewCompiler returns a compiler that uses at most half of the CPUs for stored
// schemas, and one for schemas that are about to be stored.
func NewCompiler() *Compiler { return &Compiler{schemas: schema.NewCompiler()} }

// Decorator is a decorator that can check calls. It is immutable.
type Decorator struct {
	*ruedov1.Decorator
	schema *schema.Schema // nil if it has none
}

// Decorator returns d with its schema, which is neither read nor compiled yet;
// see [Decorator.Ready].
func (c *Compiler) Decorator(d *ruedov1.Decorator) *Decorator {
	if d.GetInputSchema() == nil {
		return &Decorator{Decorator: d}
	}
	return &Decorator{Decorator: d, schema: c.schemas.Schema(d.GetInputSchema())}
}

// Admit compiles the schema of a decorator that is about to be stored. The
// error is SCHEMA_INVALID, SCHEMA_REMOTE_REF, SCHEMA_LIMIT or ctx's error. Call
// [Decorator.Keep] when the decorator is in use.
func (c *Compiler) Admit(ctx context.Context, d *ruedov1.Decorator) (*Decorator, error) {
	dec := c.Decorator(d)
	if dec.schema == nil {
		return dec, nil
	}
	return dec, dec.named(dec.schema.Admit(ctx))
}

// Ready compiles the decorator's schema, within ctx, unless it is already
// compiled. Then it returns immediately. It returns what is wrong with the
// schema, as [Compiler.Admit] does.
func (d *Decorator) Ready(ctx context.Context) error {
	if d.schema == nil {
		return nil
	}
	return d.named(d.schema.Ready(ctx))
}

// Keep keeps the compiled schema alive at least until the call. A schema that
// is no longer referenced would have to be compiled again.
func (d *Decorator) Keep() {
	if d.schema != nil {
		d.schema.Keep()
	}
}

// named returns err with the decorator's name, if err refuses the schema.
func (d *Decorator) named(err error) error {
	r, ok := errors.AsType[*schema.Refusal](err)
	if !ok {
		return err
	}
	e := fault.Wrap(r.Err, r.Reason, "the input schema of decorator %s %s", d.GetName(), r.Text).With("decorator", d.GetName())
	e.Fields, e.Fix = r.Fields, r.Fix
	if r.Limit != "" {
		e.With("limit", r.Limit).With("actual", r.Actual)
	}
	return e
}
