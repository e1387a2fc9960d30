//go:build amd64 || arm64

package sandbox_test

import (
	"context"
	"sync"
	"testing"

	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// TestRetainedMemoryIsBounded has instances of several templates write 256 KiB
// each and wait. Together they retain no more than allowed, and nothing once
// all are closed.
func TestRetainedMemoryIsBounded(t *testing.T) {
	const written, limit = 256 << 10, 1 << 20
	engine := newEngine(t, sandbox.Config{MaxIdle: 4, MaxRetainedBytes: limit})
	m := w.New()
	m.Memory(8, -1)
	m.AsFunction(m.Func(">i", w.I32(0), w.Ops(0x2d, 0, 0), w.Ops(0x04, 0x40), w.Unreachable(), w.Ops(0x0b), // what another call left
		w.I32(0), w.I32(7), w.I32(written), w.Ops(0xfc, 11, 0), w.I32(0)))
	var templates []*sandbox.Template
	for range 4 {
		templates = append(templates, loadIn(t, engine, sandbox.Spec{Wasm: m.Bytes()}))
	}
	var wg sync.WaitGroup
	for _, tpl := range templates {
		for range 4 {
			wg.Go(func() {
				for range 20 {
					if _, err := tpl.Call(t.Context(), sandbox.Request{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	waiting := 0
	for _, tpl := range templates {
		waiting += tpl.Idle()
	}
	kept := engine.Retained()
	if kept < written || kept > limit {
		t.Errorf("%d instances that wait keep %d bytes, of at most %d", waiting, kept, limit)
	}
	if err := engine.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := engine.Retained(); n != 0 {
		t.Errorf("a closed engine counts %d bytes", n)
	}
}
