package decorate

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

func decoratorOf(t testing.TB, name, schema string) *ruedov1.Decorator {
	t.Helper()
	s := new(structpb.Struct)
	if err := s.UnmarshalJSON([]byte(schema)); err != nil {
		t.Fatal(err)
	}
	return &ruedov1.Decorator{Name: name, InputSchema: s}
}

func TestEqualSchemasAreCompiledOnce(t *testing.T) {
	c := NewCompiler()
	const text = `{"required":["a"],"properties":{"a":{"type":"string"},"b":{"type":"string"},"c":{"type":"string"}}}`
	admitted, err := c.Admit(t.Context(), decoratorOf(t, "d", text))
	if err != nil {
		t.Fatal(err)
	}
	// Published by name, and in the catalog, some versions later.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			d := c.Decorator(decoratorOf(t, "d", text))
			if err := d.Ready(t.Context()); err != nil || d.schema.shared != admitted.schema.shared {
				t.Errorf("compiled again: %v", err)
			}
		})
	}
	wg.Wait()
	other, err := c.Admit(t.Context(), decoratorOf(t, "d", strings.Replace(text, "string", "number", 1)))
	if err != nil || other.schema.shared == admitted.schema.shared {
		t.Errorf("another schema is taken for the same: %v", err)
	}
	other.Keep()
	admitted.Keep()
}

func TestWhatNobodyHoldsIsForgotten(t *testing.T) {
	c := NewCompiler()
	if _, err := c.Admit(t.Context(), decoratorOf(t, "d", `{"type":"string"}`)); err != nil {
		t.Fatal(err)
	}
	held, err := c.Admit(t.Context(), decoratorOf(t, "d", `{"type":"number"}`))
	if err != nil {
		t.Fatal(err)
	}
	left := func() int {
		runtime.GC()
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.made)
	}
	for deadline := time.Now().Add(10 * time.Second); left() != 1; {
		if time.Now().After(deadline) {
			t.Fatalf("%d schemas are kept, one is in use", left())
		}
	}
	held.Keep()
}

// What is asked to be stored does not keep what is stored from being compiled.
func TestRequestsDoNotHoldUpWhatIsStored(t *testing.T) {
	c := NewCompiler()
	c.requests <- struct{}{} // an endless one
	if err := c.Decorator(decoratorOf(t, "d", `{"type":"string"}`)).Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
