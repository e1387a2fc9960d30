package schema_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate/schema"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// tooLong is longer than any check takes, even with the race detector on a busy
// machine. Without a budget, the checks took longer or never ended.
const tooLong = 10 * time.Second

// parts returns n parts joined with commas.
func parts(n int, f func(i int) string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = f(i)
	}
	return strings.Join(list, ",")
}

func parse(t testing.TB, text string) *structpb.Struct {
	t.Helper()
	s := new(structpb.Struct)
	if err := s.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

func source(t testing.TB, text string) func() *structpb.Struct {
	t.Helper()
	s := parse(t, text)
	return func() *structpb.Struct { return s }
}

// ready returns a schema that can check inputs.
func ready(t testing.TB, text string) *schema.Schema {
	t.Helper()
	s := schema.NewCompiler().Schema(source(t, text))
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// check checks one input against one schema.
func check(ctx context.Context, s *schema.Schema, input []byte) ([]fault.Field, error) {
	c, err := s.Checker(ctx, input)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.Check(s)
	fields, _, err := c.Result()
	return fields, err
}
