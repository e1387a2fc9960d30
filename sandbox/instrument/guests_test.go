package instrument_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// goGuest builds a guest from testdata.
func goGuest(tb testing.TB, name string) []byte {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "guest.wasm")
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-buildmode=c-shared", "-o", out, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if msg, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// load is one of the loads of the guests.
type load struct {
	name       string
	few, often uint64 // how much of it, in a test and in a benchmark
}

func goLoads() []load {
	return []load{
		{"json", 2, 20}, {"sha", 3, 40}, {"sort", 5_000, 100_000}, {"text", 10, 250}, {"gzip", 1, 6},
		{"sieve", 20_000, 2_000_000}, {"maps", 500, 40_000}, {"chan", 200, 20_000},
	}
}

// reactor starts a guest that was built in c-shared mode.
func (h *host) reactor(tb testing.TB, wasm []byte, res *instrument.Result) api.Module {
	tb.Helper()
	wasi_snapshot_preview1.MustInstantiate(tb.Context(), h)
	m, err := h.instantiate(tb.Context(), wasm, res, wazero.NewModuleConfig())
	if err != nil {
		tb.Fatal(err)
	}
	if f := m.ExportedFunction("_initialize"); f != nil {
		if _, err := f.Call(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	return m
}

// TestGoGuest runs a real program with a garbage collector and goroutines. All
// results and every byte of its memory stay the same, and so does the fuel,
// however much is given at a time.
func TestGoGuest(t *testing.T) {
	if testing.Short() || share > 1 {
		t.Skip("compiles a large guest four times")
	}
	wasm := goGuest(t, "work")
	res := rewrite(t, wasm, metered)
	if !res.Restorable || len(res.Segments) == 0 || len(res.Globals) == 0 || res.Checks == 0 {
		t.Errorf("restorable %v (%q), %d segments, %d globals, %d checks", res.Restorable, res.Reasons, len(res.Segments), len(res.Globals), res.Checks)
	}
	run := func(h *host, res *instrument.Result) (string, int64) {
		m := h.reactor(t, wasm, res)
		var out strings.Builder
		for _, l := range goLoads() {
			got, err := m.ExportedFunction(l.name).Call(t.Context(), l.few)
			if err != nil {
				t.Fatalf("%s: %v", l.name, err)
			}
			fmt.Fprintf(&out, "%s %d\n", l.name, got)
		}
		mem, _ := m.Memory().Read(0, m.Memory().Size())
		fmt.Fprintf(&out, "memory of %d: %x", len(mem), sha256.Sum256(mem))
		return out.String(), h.account(m)
	}
	want, _ := run(newHost(t, 0), nil)
	if got, _ := run(newHost(t, 0), rewrite(t, wasm, instrument.Options{})); got != want {
		t.Errorf("not metered:\n%s\nas it is:\n%s", got, want)
	}
	h := newHost(t, 1_000)
	got, used := run(h, res)
	if got != want {
		t.Errorf("metered:\n%s\nas it is:\n%s", got, want)
	}
	if _, other := run(newHost(t, 500_000), res); other != used {
		t.Errorf("%d units with small slices, %d with large ones", used, other)
	}
	t.Logf("%d units, %d refuels\n%s", used, h.refuels, want)
}

// handwritten are small loads of the kind that is worst for meters. Each takes
// the number of rounds and returns an i32.
func handwritten() ([]byte, []load) {
	get := func(i uint32) []byte { return w.Cat([]byte{0x20}, w.U32(i)) }
	set := func(i uint32) []byte { return w.Cat([]byte{0x21}, w.U32(i)) }
	// repeat: local 0 counts down to zero.
	again := w.Cat(get(0), w.I32(1), []byte{0x6b, 0x22, 0, 0x0d, 0})
	loop := func(body ...[]byte) []byte { return w.Cat([]byte{0x03, 0x40}, w.Cat(body...), again, []byte{0x0b}) }
	locals := w.Vec([]byte{3, 0x7f})
	m := w.New()
	m.Memory(17, -1)
	m.Table(2)
	leaf := m.Func("i>i", get(0), w.I32(3), []byte{0x6a})
	m.Element(leaf, leaf)
	m.Export("count", m.FuncLocals("i>i", locals, loop(), get(0)))
	m.Export("mix", m.FuncLocals("i>i", locals, loop(get(1), w.I32(31), []byte{0x6c}, get(0), []byte{0x6a}, set(1)), get(1)))
	m.Export("sum", m.FuncLocals("i>i", locals, loop(get(1), get(0), w.I32(0xfffff), []byte{0x71, 0x28, 2, 0, 0x6a}, set(1)), get(1)))
	m.Export("leaf", m.FuncLocals("i>i", locals, loop(get(1), w.Call(leaf), set(1)), get(1)))
	m.Export("indirect", m.FuncLocals("i>i", locals, loop(get(1), get(0), w.I32(1), []byte{0x71, 0x11}, w.U32(m.Type("i>i")), []byte{0}, set(1)), get(1)))
	fib := uint32(6)
	if i := m.Func("i>i", get(0), w.I32(2), []byte{0x49, 0x04, 0x7f}, get(0), []byte{0x05},
		get(0), w.I32(1), []byte{0x6b}, w.Call(fib), get(0), w.I32(2), []byte{0x6b}, w.Call(fib), []byte{0x6a, 0x0b}); i != fib {
		panic("fib is another function")
	}
	m.Export("fib", fib)
	m.Export("copy", m.FuncLocals("i>i", locals, loop(w.I32(64), get(0), w.I32(0xffff), []byte{0x71}, get(0), w.I32(63), []byte{0x71, 0xfc, 10, 0, 0}), get(0)))
	m.Export("branches", m.FuncLocals("i>i", locals, loop(
		get(0), w.I32(3), []byte{0x71, 0x04, 0x40}, get(1), w.I32(7), []byte{0x6a}, set(1), []byte{0x05}, get(1), w.I32(5), []byte{0x73}, set(1), []byte{0x0b}), get(1)))
	return m.Bytes(), []load{
		{"count", 100, 10_000_000}, {"mix", 100, 10_000_000}, {"sum", 100, 5_000_000}, {"leaf", 100, 5_000_000},
		{"indirect", 100, 3_000_000}, {"fib", 10, 27}, {"copy", 100, 1_000_000}, {"branches", 100, 5_000_000},
	}
}
