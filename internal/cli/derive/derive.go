// Package derive makes JSON Schemas of the Go types of a handler.
//
//	schemas, err := derive.Types(ctx, derive.Program{Dir: dir, Tool: "go", Env: env})
//
// [Types] finds the call of sdk.Handle in the program that a directory holds and
// returns a schema of what it accepts and one of what it returns. It reads the
// program's source and, for what it imports, the export data that the compiler
// has put into the build cache. So it can run while the program is built, and
// costs little if the cache is warm.
//
// # What types say
//
// A struct is an object with the names that encoding/json uses. A field is
// optional if it is a pointer, or if its tag has omitempty or omitzero. Comments
// are descriptions. A string type with at least two typed constants in its
// package is a choice between them. Tags of github.com/go-playground/validator
// become bounds, patterns and formats, as far as JSON Schema has them. Types
// with methods of their own for JSON accept anything, and those with methods for
// text are strings.
//
// The schema of an input refuses unknown fields, unless [Program.Open] is set.
// Types that occur more than once, such as recursive ones, stand under "$defs".
//
// # Bounds
//
// A program with too many types, or types that nest too deep, has no schema:
// [Types] returns an error. Descriptions are left out if they make it too large.
package derive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/types"

	"google.golang.org/protobuf/types/known/structpb"
)

// SDK is the import path of the package whose function Handle registers a
// handler.
const SDK = "github.com/ruedo-dev/ruedo/sdk"

const (
	// maxSchemas bounds the parts of a schema, and maxNesting how deep types
	// nest in each other.
	maxSchemas = 1_000
	maxNesting = 40
	// maxBytes bounds the JSON of a schema.
	maxBytes = 64 << 10
	// maxDescription bounds one description, in bytes.
	maxDescription = 400
)

// Program is a Go program, and how it is built.
type Program struct {
	// Dir is the directory of its package main.
	Dir string
	// Tool is the path of the go command.
	Tool string
	// Flags are build flags, and Env is the environment: the same as in the build,
	// so that both use the same cache.
	Flags, Env []string
	// Open makes inputs accept unknown fields.
	Open bool
	// Last saves asking the go command again; see [Listing]. Nil: it is asked.
	Last *Listing
}

// Schemas are JSON Schemas (2020-12) of a handler. Each can be nil: anything is
// accepted or returned.
type Schemas struct {
	Input, Output *structpb.Struct
}

// Types returns the schemas of the handler of a program. Both are nil if there
// is no call of sdk.Handle. It returns ctx's error if ctx ends.
func Types(ctx context.Context, p Program) (Schemas, error) {
	src, err := load(ctx, p)
	if err != nil {
		if ctx.Err() != nil {
			return Schemas{}, ctx.Err()
		}
		return Schemas{}, err
	}
	in, out, err := src.handler()
	if err != nil || in == nil {
		return Schemas{}, err
	}
	var s Schemas
	if !isEmptyStruct(in) { // the SDK accepts an empty input for it, which is not JSON
		if s.Input, err = schemaOf(src, in, true, p.Open); err != nil {
			return Schemas{}, fmt.Errorf("the type of the input %w", err)
		}
	}
	if s.Output, err = schemaOf(src, out, false, true); err != nil {
		return Schemas{}, fmt.Errorf("the type of the output %w", err)
	}
	return s, nil
}

func isEmptyStruct(t types.Type) bool {
	st, ok := t.(*types.Struct)
	return ok && st.NumFields() == 0
}

var (
	errTooMany = fmt.Errorf("has more than %d parts", maxSchemas)
	errTooDeep = fmt.Errorf("nests more than %d types", maxNesting)
	errUnknown = errors.New("cannot be read")
)

// schemaOf returns the schema of a type, nil if it accepts anything.
func schemaOf(src *source, t types.Type, input, open bool) (*structpb.Struct, error) {
	for _, comments := range []bool{true, false} {
		b := &builder{src: src, input: input, open: open, comments: comments, uses: map[string]int{}}
		b.root(t) // counts
		b.begin()
		schema := b.root(t)
		if b.err != nil {
			return nil, b.err
		}
		if len(schema) == 0 {
			return nil, nil
		}
		s, err := structpb.NewStruct(schema)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(schema)
		if err != nil {
			return nil, err
		}
		if len(text) <= maxBytes {
			return s, nil
		}
	}
	return nil, fmt.Errorf("has a schema of more than %d bytes", maxBytes)
}
