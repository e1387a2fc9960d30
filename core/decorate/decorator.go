package decorate

import (
	"context"
	"errors"

	"github.com/ruedo-dev/ruedo/core/decorate/schema"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Compiler makes decorators of what is stored. Equal schemas are compiled once:
// creating a decorator, publishing with it and calling a service that has it share
// the result as long as one of them holds it. It is safe for concurrent use.
type Compiler struct{ schemas *schema.Compiler }

// NewCompiler returns a compiler that uses at most half of the processors for
// stored schemas, and one for those that somebody asks to store.
func NewCompiler() *Compiler { return &Compiler{schemas: schema.NewCompiler()} }

// Decorator is a decorator that can check calls. It is immutable.
type Decorator struct {
	*ruedov1.Decorator
	schema *schema.Schema // nil if it has none
}

// Decorator returns d with its schema, which is neither compiled nor looked at
// yet; see [Decorator.Ready].
func (c *Compiler) Decorator(d *ruedov1.Decorator) *Decorator {
	if d.GetInputSchema() == nil {
		return &Decorator{Decorator: d}
	}
	return &Decorator{Decorator: d, schema: c.schemas.Schema(d.GetInputSchema())}
}

// Admit compiles the schema of a decorator that somebody asks to store. The error
// is SCHEMA_INVALID, SCHEMA_REMOTE_REF or SCHEMA_LIMIT, or that of ctx. Call
// [Decorator.Keep] when the decorator is in use.
func (c *Compiler) Admit(ctx context.Context, d *ruedov1.Decorator) (*Decorator, error) {
	dec := c.Decorator(d)
	if dec.schema == nil {
		return dec, nil
	}
	return dec, dec.named(dec.schema.Admit(ctx))
}

// Ready compiles the decorator's schema if nobody has, within ctx, and returns
// what is wrong with it, as [Compiler.Admit] does. If the schema is compiled, it
// returns immediately.
func (d *Decorator) Ready(ctx context.Context) error {
	if d.schema == nil {
		return nil
	}
	return d.named(d.schema.Ready(ctx))
}

// Keep holds the compiled schema at least until it is called: a schema that
// nobody holds is compiled again.
func (d *Decorator) Keep() {
	if d.schema != nil {
		d.schema.Keep()
	}
}

// named returns err with the decorator's name, if it refuses the schema.
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
