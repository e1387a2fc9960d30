package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

const jsonType = "application/json"

// encoder turns one value after the other into JSON.
type encoder struct {
	b  bytes.Buffer
	to *json.Encoder // b
}

func newEncoder() *encoder {
	e := new(encoder)
	e.to = json.NewEncoder(&e.b)
	e.to.SetEscapeHTML(false) // which would change <, > and &, and nobody puts this into a page
	return e
}

// encode returns a value as JSON, which is valid until the next one.
func (e *encoder) encode(v any) ([]byte, error) {
	const retained = 64 << 10
	if e.b.Reset(); e.b.Cap() > retained {
		e.b = bytes.Buffer{}
	}
	if err := e.to.Encode(v); err != nil {
		return nil, Errorf(Internal, "the output cannot be written as JSON: %w", err)
	}
	return bytes.TrimSuffix(e.b.Bytes(), []byte("\n")), nil
}

// typed turns a handler of values into a handler of bytes, which keeps nothing of
// its input.
func typed[In, Out any](handle func(ctx context.Context, in In) (Out, error)) bytesHandler {
	used := newEncoder() // again and again
	return func(ctx context.Context, input []byte) ([]byte, error) {
		var in In
		if err := decode(input, &in); err != nil {
			return nil, err
		}
		c := callOf(ctx)
		c.outputType = jsonType
		out, err := handle(ctx, in)
		if err != nil {
			return nil, err
		}
		if c.alone {
			return used.encode(out)
		}
		return newEncoder().encode(out)
	}
}

// decode reads a JSON input; its error is for the caller.
func decode(input []byte, in any) error {
	if len(input) == 0 {
		if _, none := in.(*struct{}); none {
			return nil
		}
		return Errorf(InvalidArgument, "the input is empty: send a JSON value")
	}
	err := json.Unmarshal(input, in)
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return Errorf(InvalidArgument, "the input is not valid JSON: at byte %d: %w", syntax.Offset, err)
	case errors.As(err, &mismatch):
		where := "the input"
		if mismatch.Field != "" {
			where = fmt.Sprintf("field %q", mismatch.Field)
		}
		err = fmt.Errorf("%s must be %s, not %s (at byte %d)", where, kindName(mismatch.Type), mismatch.Value, mismatch.Offset)
	}
	return Errorf(InvalidArgument, "the input has the wrong type: %w", err)
}

// kindName returns a JSON author's name for a Go type.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		return fmt.Sprintf("an integer of %d bits", t.Bits())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		return fmt.Sprintf("a non-negative integer of %d bits", t.Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "another type"
}
