package sandbox_test

import (
	"fmt"
	"sync"
	"testing"

	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

func TestTemplatesOfOneModuleShareItsCompiledCode(t *testing.T) {
	e := newEngine(t, cached())
	wasm := guest(t, "function")
	one := loadIn(t, e, sandbox.Spec{Wasm: wasm, Env: map[string]string{"N": "1"}})
	alone := e.Held()
	two := loadIn(t, e, sandbox.Spec{Wasm: wasm, Env: map[string]string{"N": "2"}, Limits: sandbox.Limits{Memory: 64 << 20}})
	both := e.Held()
	if alone.Codes != 1 || both.Codes != 1 || both.Templates != 2 {
		t.Errorf("held by one: %+v, by two: %+v", alone, both)
	}
	if more := both.Bytes - alone.Bytes; more != two.Held() || more > alone.Bytes/4 {
		t.Errorf("the second template adds %d bytes of its own, together they hold %d", more, both.Bytes)
	}
	call := func(tpl *sandbox.Template) {
		t.Helper()
		if _, err := tpl.Call(t.Context(), sandbox.Request{Input: []byte(`{"text":"hola","n":21}`)}); err != nil {
			t.Error(err)
		}
	}
	call(one)
	call(two)
	if err := one.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	call(two) // its code is still there
	if err := two.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h := e.Held(); h != (sandbox.Held{}) {
		t.Errorf("%+v is held when all is closed", h)
	}
}

func TestIdleInstancesCountAsHeld(t *testing.T) {
	tpl := load(t, sandbox.Spec{Wasm: guest(t, "function")})
	before := tpl.Held()
	if _, err := tpl.Call(t.Context(), sandbox.Request{Input: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	with := tpl.Held()
	if tpl.Idle() != 1 || with <= before {
		t.Errorf("%d bytes with %d idle instances, %d without", with, tpl.Idle(), before)
	}
	tpl.Sweep() // sees that one is idle
	tpl.Sweep()
	if after := tpl.Held(); after != before {
		t.Errorf("%d bytes without instances, before the first it was %d", after, before)
	}
}

// answering returns a different module for each number.
func answering(n int) []byte {
	return w.Function(w.I32(int32(n)), w.Drop(), w.I32(0)).Bytes()
}

// Loads and closes of the same modules overlap: each template works while it is
// open, and nothing is left over.
func TestSharedCodeIsClosedWithItsLastTemplate(t *testing.T) {
	e := newEngine(t, cached())
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 25 {
				tpl, err := e.Load(t.Context(), sandbox.Spec{Wasm: answering((g + i) % 2), Env: map[string]string{"N": fmt.Sprint(g, i)}})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := tpl.Call(t.Context(), sandbox.Request{}); err != nil {
					t.Error(err)
				}
				if err := tpl.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if h := e.Held(); h != (sandbox.Held{}) {
		t.Errorf("%+v is held when all is closed", h)
	}
}
