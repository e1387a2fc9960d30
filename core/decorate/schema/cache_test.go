package schema

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

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

// admitted returns a schema that is about to be stored.
func admitted(t testing.TB, c *Compiler, text string) *Schema {
	t.Helper()
	s := c.Schema(source(t, text))
	if err := s.Admit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEqualSchemasAreCompiledOnce(t *testing.T) {
	c := NewCompiler()
	const text = `{"required":["a"],"properties":{"a":{"type":"string"},"b":{"type":"string"},"c":{"type":"string"}}}`
	first := admitted(t, c, text)
	// Published by name, and in the catalog, some versions later.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s := c.Schema(source(t, text))
			if err := s.Ready(t.Context()); err != nil || s.shared != first.shared {
				t.Errorf("compiled again: %v", err)
			}
		})
	}
	wg.Wait()
	other := admitted(t, c, strings.Replace(text, "string", "number", 1))
	if other.shared == first.shared {
		t.Error("another schema is taken for the same")
	}
	other.Keep()
	first.Keep()
}

func TestWhatNobodyHoldsIsForgotten(t *testing.T) {
	c := NewCompiler()
	admitted(t, c, `{"type":"string"}`)
	held := admitted(t, c, `{"type":"number"}`)
	left := func() int {
		runtime.GC()
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.made)
	}
	if !testkit.Poll(testkit.Patience, func() bool { return left() == 1 }) {
		t.Fatalf("%d schemas are kept, one is in use", left())
	}
	held.Keep()
}

// Schemas that are about to be stored do not delay the compilation of stored
// ones.
func TestRequestsDoNotHoldUpWhatIsStored(t *testing.T) {
	c := NewCompiler()
	c.requests <- struct{}{} // an endless one
	if err := c.Schema(source(t, `{"type":"string"}`)).Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
