// Package schema checks inputs against untrusted JSON Schemas.
//
// Make one compiler with [NewCompiler]. [Compiler.Schema] returns a schema, and the
// first [Schema.Ready] compiles it. Then [Schema.Checker] reads an input, and
// [Checker.Check] checks the input against one schema after the other.
//
// Schemas follow JSON Schema draft 2020-12, or the draft that their $schema
// names. A library implements the drafts and resolves references. Its result is
// turned into rules that are checked here, because a check by the library can
// be neither counted nor stopped.
//
// # What a check may cost
//
// Neither an input nor a schema can make a check expensive, and no answer is
// longer than a few kilobytes.
//
//   - The package admission bounds a schema before it is compiled: size, depth,
//     values, subschemas and references; patterns by count, length and size of the
//     RE2 program. A reference that would leave the schema is refused: a core opens
//     no file and no connection because a schema says so.
//   - When a schema is compiled, the work that a single value can cost is added up
//     over all rules about that value, and bounded (work.go): doubling references
//     are refused here. So is a schema that refers to itself without looking at a
//     part of the input: checking would never end.
//   - An input is read in one pass and refused if it is over a bound; see the
//     package input.
//   - Every step of a check is paid from the budget of the input, 50 ms of a
//     processor, before it is made. What grows with the input (strings, patterns,
//     names, comparisons) is paid by its length. When the budget is spent, the input
//     is refused; a check ends when its caller is gone.
//   - Violations are cut while they are found, and the check ends with the last one
//     that an answer has room for (violation.go).
//
// # What is shared
//
// Equal schemas are compiled once, as long as one of them is referenced
// ([Schema.Keep]). Only a few are compiled at the same time, so that they
// cannot starve calls of CPU time.
//
// # Errors
//
// A schema is refused with a [*Refusal], an input with an [*InputError] or an
// [*InputLimit]. None of them says whose schema or input it is: the caller adds
// the names of decorators and services.
package schema

import (
	"context"
	"runtime"
	"sync"

	"google.golang.org/protobuf/types/known/structpb"
)

// Schema is a schema that can check inputs once it is ready. It is safe for
// concurrent use.
type Schema struct {
	compiler *Compiler
	source   func() *structpb.Struct

	once   sync.Once
	shared *compiled
}

// Schema returns a schema that is neither read nor compiled yet; see
// [Schema.Ready]. source returns the schema, the same one each time; it is called
// while the schema is compiled. Do not change the result.
func (c *Compiler) Schema(source func() *structpb.Struct) *Schema {
	return &Schema{compiler: c, source: source}
}

// Admit compiles a schema that is about to be stored. It returns what
// [Schema.Ready] returns, and does not delay schemas that are already stored.
func (s *Schema) Admit(ctx context.Context) error { return s.compile(ctx, s.compiler.requests) }

// Ready compiles the schema, within ctx, unless it is already compiled. Then it
// returns immediately. The error is a [*Refusal] or ctx's error.
func (s *Schema) Ready(ctx context.Context) error { return s.compile(ctx, s.compiler.slots) }

// Keep keeps the compiled schema alive at least until the call. A schema that
// is no longer referenced would have to be compiled again.
func (s *Schema) Keep() { runtime.KeepAlive(s) }

// compile compiles the schema in one of the slots, unless it is already
// compiled.
func (s *Schema) compile(ctx context.Context, slots chan struct{}) error {
	s.once.Do(func() { s.shared = s.compiler.find(s.source()) })
	c := s.shared
	select {
	case <-c.done:
		return c.err()
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err()
	case <-ctx.Done():
		return ctx.Err()
	case slots <- struct{}{}:
	}
	defer func() { <-slots }()
	c.once.Do(func() {
		c.rule, c.refused = compile(s.source())
		close(c.done)
	})
	return c.err()
}
