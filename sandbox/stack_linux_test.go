//go:build amd64 || arm64

package sandbox_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sandbox/stack"
)

// diver recurses as deep as its input says, and returns.
func diver(t testing.TB) []byte {
	m := w.New()
	read := m.Import("ruedo", "input_read", "ii>i")
	m.Memory(1, -1)
	get := w.Ops(0x20, 0)
	f := uint32(1)
	if m.Func("i>i", get, w.Ops(0x45, 0x04, 0x40), w.I32(0), w.Ops(0x0f, 0x0b), get, w.I32(1), w.Ops(0x6b), w.Call(f), w.I32(1), w.Ops(0x6a)) != f {
		t.Fatal("the function has another index")
	}
	m.AsFunction(m.Func(">i", w.CallWith(read, 0, 4), w.Drop(), w.I32(0), w.Ops(0x28, 2, 0), w.Call(f), w.I32(0), w.Ops(0x28, 2, 0), w.Ops(0x6b)))
	return m.Bytes()
}

func depth(n uint32) sandbox.Request {
	return sandbox.Request{Input: binary.LittleEndian.AppendUint32(nil, n)}
}

// TestCallsRunOnTheirOwnStacks dives in consecutive calls: each retains only a
// little of its stack, and none gets deeper than allowed.
func TestCallsRunOnTheirOwnStacks(t *testing.T) {
	for _, isolation := range []sandbox.Isolation{sandbox.Pristine, sandbox.Shared} {
		engine := newEngine(t, sandbox.Config{})
		tpl := loadIn(t, engine, sandbox.Spec{Wasm: diver(t), Isolation: isolation, Limits: sandbox.Limits{Timeout: time.Minute}})
		call := func(n uint32) int {
			t.Helper()
			if _, err := tpl.Call(t.Context(), depth(n)); err != nil {
				t.Fatal(err)
			}
			sizes := tpl.StacksOfIdle()
			if len(sizes) != 1 {
				t.Fatalf("there are %d stacks for one call at a time", len(sizes))
			}
			return sizes[0]
		}
		if small := call(0); small == 0 || !tpl.OwnStack() {
			t.Fatal("the call did not run on a stack that was lent: the runtime has changed, see stack.Of")
		}
		if some := call(3000); some < 64<<10 || some > stack.MaxRetained {
			t.Errorf("%s: after some recursion %d bytes of stack are kept", isolation, some)
		}
		if large := call(60_000); large > stack.MaxRetained {
			t.Errorf("%s: after deep recursion %d bytes of stack are kept", isolation, large)
		}
		_, err := tpl.Call(t.Context(), depth(1<<30))
		if e := refused(t, err, fault.GuestTrap); e.Meta["kind"] != "stack overflow" || e.Meta["limit"] != fmt.Sprint(stack.Default) {
			t.Errorf("%s: endless recursion: %+v", isolation, e)
		}
		if after := call(10); after > stack.MaxRetained {
			t.Errorf("%s: after an overflow %d bytes of stack are kept", isolation, after)
		}
	}
}

// TestStacksOfManyCalls has calls dive at the same time.
func TestStacksOfManyCalls(t *testing.T) {
	const callers = 8
	engine := newEngine(t, sandbox.Config{})
	tpl := loadIn(t, engine, sandbox.Spec{Wasm: diver(t), Limits: sandbox.Limits{Timeout: time.Minute}})
	var wg sync.WaitGroup
	for c := range uint32(callers) {
		wg.Go(func() {
			for n := range uint32(50) {
				deep := (n*7919 + c*104729) % 100_000
				if n%10 == 9 {
					if _, err := tpl.Call(t.Context(), depth(1<<30)); err == nil || !strings.Contains(err.Error(), "stack overflow") {
						t.Errorf("endless recursion: %v", err)
					}
				} else if _, err := tpl.Call(t.Context(), depth(deep)); err != nil {
					t.Errorf("a depth of %d: %v", deep, err)
				}
			}
		})
	}
	wg.Wait()
	for _, size := range tpl.StacksOfIdle() {
		if size > stack.MaxRetained {
			t.Errorf("an instance keeps %d bytes of stack", size)
		}
	}
}

// TestStacksAreUsedAgain gives each call a new instance.
func TestStacksAreUsedAgain(t *testing.T) {
	engine := newEngine(t, sandbox.Config{})
	tpl := loadIn(t, engine, sandbox.Spec{Wasm: diver(t), Isolation: sandbox.Fresh})
	for range 10 {
		if _, err := tpl.Call(t.Context(), depth(1000)); err != nil {
			t.Fatal(err)
		}
	}
	if n := engine.IdleStacks(); n != 1 {
		t.Errorf("ten calls one after the other left %d stacks", n)
	}
	var wg sync.WaitGroup
	for range 2 * stack.MaxIdle {
		wg.Go(func() {
			if _, err := tpl.Call(t.Context(), depth(1000)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := engine.IdleStacks(); n == 0 || n > stack.MaxIdle {
		t.Errorf("many concurrent calls left %d stacks", n)
	}
}
