package sandbox_test

import (
	"context"
	"sync"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// A module that is expected is compiled and held before it is loaded, and its
// templates keep it when it is expected no more.
func TestAnExpectedModuleIsThereForItsLoads(t *testing.T) {
	e := newEngine(t, sandbox.Config{})
	spec := sandbox.Spec{Wasm: wasmtest.Function(wasmtest.I32(0)).Bytes()}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var expecting sync.WaitGroup
	expecting.Go(func() { e.Expect(ctx, spec.Wasm, spec.Limits) })
	testkit.Eventually(t, "its code is held", func() bool { return e.Held().Bytes > 2*int64(len(spec.Wasm)) })
	if h := e.Held(); h.Codes != 1 || h.Templates != 0 {
		t.Errorf("%+v is held", h)
	}
	var loads sync.WaitGroup
	templates := make(chan *sandbox.Template, 2)
	for range cap(templates) {
		loads.Go(func() {
			tpl, err := e.Load(t.Context(), spec)
			if err != nil {
				t.Error(err)
				return
			}
			templates <- tpl
		})
	}
	loads.Wait()
	close(templates)
	cancel()
	expecting.Wait()
	if h := e.Held(); h.Codes != 1 || h.Templates != 2 {
		t.Errorf("%+v is held after two loads", h)
	}
	for tpl := range templates {
		if _, err := tpl.Call(t.Context(), sandbox.Request{}); err != nil {
			t.Error(err)
		}
		if err := tpl.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if h := e.Held(); h != (sandbox.Held{}) {
		t.Errorf("%+v is held when all is closed", h)
	}
}

// Nobody waits for a module that cannot be compiled.
func TestAModuleThatIsRefusedIsNotExpected(t *testing.T) {
	e := newEngine(t, sandbox.Config{})
	for name, wasm := range map[string][]byte{
		"not admitted": []byte("text"),
		"not valid":    wasmtest.Function(wasmtest.Ops(0x6a)).Bytes(), // an addition of nothing
	} {
		e.Expect(t.Context(), wasm, sandbox.Limits{})
		if _, err := e.Load(t.Context(), sandbox.Spec{Wasm: wasm}); err == nil || fault.ReasonOf(err) == fault.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h := e.Held(); h != (sandbox.Held{}) {
		t.Errorf("%+v is held", h)
	}
}
