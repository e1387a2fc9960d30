package decorate

import (
	"cmp"
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate/schema"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/grant"
	"github.com/ruedo-dev/ruedo/internal/packed"
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
	source func() *structpb.Struct
	// about names the schema in errors, if it is not the decorator's.
	about string
}

// Decorator returns d with its schema, which may be packed, and is neither read
// nor compiled yet; see [Decorator.Ready].
func (c *Compiler) Decorator(d *ruedov1.Decorator) *Decorator {
	return c.decorator(d, packed.InputSchema(d))
}

func (c *Compiler) decorator(d *ruedov1.Decorator, source func() *structpb.Struct) *Decorator {
	if source == nil {
		return &Decorator{Decorator: d}
	}
	return &Decorator{Decorator: d, schema: c.schemas.Schema(source), source: source}
}

// Types returns the input schema of a revision, which the types of its handler
// make, as a decorator without a name. It returns nil if there is none.
func (c *Compiler) Types(rev *ruedov1.Revision) *Decorator {
	return c.unnamed(packed.InputSchema(rev), "the input schema of service ", rev)
}

func (c *Compiler) unnamed(source func() *structpb.Struct, about string, rev *ruedov1.Revision) *Decorator {
	if source == nil {
		return nil
	}
	d := c.decorator(&ruedov1.Decorator{}, source)
	d.about = about + rev.GetService()
	return d
}

// AdmitTypes is Admit for the two schemas of a revision that is about to be
// stored. It returns what [Compiler.Types] returns.
func (c *Compiler) AdmitTypes(ctx context.Context, rev *ruedov1.Revision) (*Decorator, error) {
	var output *Decorator
	if s := packed.OutputSchema(rev); s != nil {
		output = c.unnamed(func() *structpb.Struct { return s }, "the output schema of service ", rev)
	}
	input := c.Types(rev)
	for _, d := range []*Decorator{output, input} {
		if d == nil {
			continue
		}
		if err := d.named(d.schema.Admit(ctx)); err != nil {
			return nil, err
		}
	}
	return input, nil
}

// Admit compiles the schema of a decorator that is about to be stored, and brings
// its grants into their canonical form. The error is SCHEMA_INVALID,
// SCHEMA_REMOTE_REF, SCHEMA_LIMIT, DECORATOR_INVALID or ctx's error. Call
// [Decorator.Keep] when the decorator is in use.
func (c *Compiler) Admit(ctx context.Context, d *ruedov1.Decorator) (*Decorator, error) {
	egress, err := grant.Canonical(d.GetGrants().GetEgress())
	if err != nil {
		e := *fault.FromError(err)
		return nil, (&e).With("decorator", d.GetName())
	}
	if d.Grants = nil; egress != nil {
		d.Grants = &ruedov1.Grants{Egress: egress}
	}
	dec := c.Decorator(d)
	if dec.schema == nil {
		return dec, nil
	}
	return dec, dec.named(dec.schema.Admit(ctx))
}

// HasSchema reports whether the decorator has a schema.
func (d *Decorator) HasSchema() bool { return d.schema != nil }

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
// is no longer referenced would have to be compiled again. It does nothing if d
// is nil.
func (d *Decorator) Keep() {
	if d != nil && d.schema != nil {
		d.schema.Keep()
	}
}

// named returns err with the decorator's name, if err refuses the schema.
func (d *Decorator) named(err error) error {
	r, ok := errors.AsType[*schema.Refusal](err)
	if !ok {
		return err
	}
	about := cmp.Or(d.about, "the input schema of decorator "+d.GetName())
	e := fault.Wrap(r.Err, r.Reason, "%s %s", about, r.Text)
	if d.about == "" {
		e.With("decorator", d.GetName())
	}
	e.Fields, e.Fix = r.Fields, r.Fix
	if r.Limit != "" {
		e.With("limit", r.Limit).With("actual", r.Actual)
	}
	return e
}
