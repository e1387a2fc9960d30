package wasmbin_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// complex returns a module with one function for each number of loops, in which
// 1,000 locals are declared.
func complex(loops ...int) []byte {
	m := w.Function(w.I32(0))
	for _, n := range loops {
		m.FuncLocals(">", w.Vec(w.Cat(w.U32(1000), []byte{0x7f})), bytes.Repeat([]byte{3, 0x40, 0x0b}, n))
	}
	return m.Bytes()
}

// The error says what all functions cost together, and names the three costliest
// ones, also if the limit is exceeded by a cheap one after them.
func TestTheErrorOfComplexityNamesTheDearestFunctions(t *testing.T) {
	b := complex(10, 500, 20, 700, 400, 300, 1)
	_, err := wasmbin.Admit(b, wasmbin.Limits{})
	e := fault.FromError(err)
	if err == nil || e.Reason != fault.WasmLimitComplexity {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"is 17379", "in function 5 with 6300", "function 3 with 4500", "function 6 with 3600"} {
		if !strings.Contains(e.Message, want) {
			t.Errorf("%q lacks %q", e.Message, want)
		}
	}
	if strings.Contains(e.Message, "function 7") || !strings.Contains(e.Fix, "raise module.complexity") {
		t.Errorf("%s, fix: %s", e.Message, e.Fix)
	}
	arrivesAnyhow(t, b, wasmbin.Limits{})
}

// Honest modules are complex because they are large: each MiB of code adds a
// half to the limit.
func TestTheLimitOfComplexityGrowsWithTheCode(t *testing.T) {
	m := w.Function(w.I32(0))
	for range 2 {
		m.FuncLocals(">", w.Vec(w.Cat(w.U32(1000), []byte{0x7f})), bytes.Repeat([]byte{3, 0x40, 0x0b}, 1200))
	}
	for range 6 {
		m.Func(">", bytes.Repeat([]byte{0x01}, 1<<20-100))
	}
	info, err := wasmbin.Admit(m.Bytes(), wasmbin.Limits{})
	if err != nil || info.Complexity < 21_000_000 {
		t.Errorf("got %+v, %v", info, err)
	}
}

// Who built a module for another host learns what to do instead. The list of what
// can be imported is only the cause, for those who ask for it.
func TestHintsAboutImports(t *testing.T) {
	for name, want := range map[string]string{
		"extism:host/env.input_offset":    "Extism plug-in",
		"env.extism_input_length":         "Extism plug-in",
		"env.emscripten_resize_heap":      "Emscripten",
		"env.__syscall_openat":            "Emscripten",
		"a.b":                             "Emscripten",
		"env.abort":                       "--use abort=",
		"env.system":                      "embedder (env)",
		"wasi_snapshot_preview1.sock_foo": "docs/abi.md",
	} {
		module, field, _ := strings.Cut(name, ".")
		m := w.New()
		m.Import(module, field, ">")
		m.Memory(1, -1)
		m.AsFunction(m.Func(">i", w.I32(0)))
		_, err := wasmbin.Admit(m.Bytes(), wasmbin.Limits{})
		e := fault.FromError(err)
		if e.Reason != fault.ImportNotAllowed || !strings.Contains(e.Fix, want) || strings.Contains(e.Fix, "fd_read") {
			t.Errorf("%s: %v, fix: %s", name, err, e.Fix)
		}
		if e.Err == nil || !strings.Contains(e.Err.Error(), "fd_read") || !strings.Contains(e.Err.Error(), "input_read") {
			t.Errorf("%s: the cause is %v", name, e.Err)
		}
	}
}
