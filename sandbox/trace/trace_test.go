package trace_test

import (
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/sandbox/trace"
)

func TestCut(t *testing.T) {
	for _, tt := range []struct{ text, what, in, stack string }{
		{"wasm error: unreachable\nwasm stack trace:\n\t.main.boom()\n\t.ruedo_call() i32", "wasm error: unreachable", "main.boom", "main.boom()\nruedo_call() i32"},
		{"stack overflow", "stack overflow", "", ""},
		// The meter asks the host, and a helper can stand in between.
		{"the call was stopped (recovered by wazero)\nwasm stack trace:\n\truedo:meter.refuel()\n\t.ruedo:memory.fill(i32,i32,i32)\n\t.main.(*T).loop(i32) i32",
			"the call was stopped (recovered by wazero)", "main.(*T).loop", "main.(*T).loop(i32) i32"},
		// A guest that sleeps is in a function of the host.
		{"x\nwasm stack trace:\n\twasi_snapshot_preview1.poll_oneoff(i32,i32,i32,i32) i32\n\t.wait(i32,i64) (i32,i32)", "x", "wait",
			"wasi_snapshot_preview1.poll_oneoff(i32,i32,i32,i32) i32\nwait(i32,i64) (i32,i32)"},
		{"x\nwasm stack trace:\n\tmod.$3()", "x", "mod.$3", "mod.$3()"},
		// A name is the guest's.
		{"x\nwasm stack trace:\n\t.a\x1b[31m()", "x", `a\x1b[31m`, `a\x1b[31m()`},
	} {
		what, s := trace.Cut(tt.text)
		if what != tt.what || s.In() != tt.in || s.String() != tt.stack {
			t.Errorf("%q: what %q, in %q, stack %q", tt.text, what, s.In(), s)
		}
	}
}

func TestAStackIsBounded(t *testing.T) {
	_, s := trace.Cut("x\nwasm stack trace:" + strings.Repeat("\n\t."+strings.Repeat("f", 1000)+"()", 30))
	if len(s) != 21 || s[20] != "..." || len(s[0]) > 200 {
		t.Errorf("%d functions, the first has %d bytes", len(s), len(s[0]))
	}
}
