package instrument_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// FuzzRewrite takes arbitrary bytes: the compiler accepts the rewritten module
// exactly if it accepts the original.
func FuzzRewrite(f *testing.F) {
	f.Add(guest(), byte(1))
	b, _ := handwritten()
	f.Add(b, byte(3))
	for seed := range uint64(5) {
		f.Add(newProgram(seed), byte(seed))
	}
	f.Fuzz(func(t *testing.T, wasm []byte, options byte) {
		if len(wasm) > 16<<10 {
			t.Skip("only small ones, because they are compiled")
		}
		o := instrument.Options{Meter: options&1 != 0}
		if options&2 != 0 {
			o.MemoryMaxPages, o.MemorySlackPages, o.TableMax = 1000, 1, 1000
		}
		res, err := instrument.Rewrite(wasm, o)
		m, readErr := wasmbin.Read(wasm)
		if readErr == nil {
			for _, body := range m.Bodies {
				if body.Locals > 10_000 {
					t.Skip("takes the compiler too long")
				}
			}
		}
		compile := func(wasm []byte) error {
			h := newHost(t, 0)
			c, err := h.CompileModule(t.Context(), wasm)
			if err == nil {
				err = c.Close(t.Context())
			}
			return err
		}
		if err != nil {
			e, ok := errors.AsType[*fault.Error](err)
			if !ok {
				t.Fatalf("%v is not an *Error", err)
			}
			// The compiler accepts some numbers whose unused bits are wrong.
			if e.Reason == fault.Malformed && readErr == nil && !strings.Contains(e.Message, "signed number") && compile(wasm) == nil {
				t.Fatalf("the compiler takes it, and it is refused: %v", err)
			}
			return
		}
		if res.Restorable != (len(res.Reasons) == 0) {
			t.Errorf("restorable %v: %q", res.Restorable, res.Reasons)
		}
		if _, err := wasmbin.Read(res.Wasm); err != nil {
			t.Fatalf("what came out cannot be read: %v", err)
		}
		before, after := compile(wasm), compile(res.Wasm)
		if (before == nil) != (after == nil) && !mended(before) {
			t.Fatalf("the compiler says %v, and rewritten %v", before, after)
		}
	})
}

// mended reports whether rewriting removes an error. Damaged names are written
// again. Custom sections are removed, even one with an empty name, which the
// compiler cannot read at the end of a file. And ref.func of the start function
// becomes valid, because exporting the function declares it.
func mended(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "section custom") || strings.Contains(err.Error(), "custom section name") ||
		strings.Contains(err.Error(), "undeclared function index"))
}

// TestSpecModulesValidate rewrites every module of the public tests, most of
// which are invalid.
func TestSpecModulesValidate(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles thousands of modules")
	}
	files, err := filepath.Glob(filepath.Join(wasmtest.SpecDir(t), "*", "testdata", "*.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, 0)
	var both, neither, refused int
	for i, file := range files {
		if i%share != 0 {
			continue
		}
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		res, err := instrument.Rewrite(wasm, metered)
		_, before := h.CompileModule(t.Context(), wasm)
		if err != nil {
			refused++
			if e, ok := errors.AsType[*fault.Error](err); before == nil && (!ok || e.Reason != fault.WasmUnsupported) {
				t.Errorf("%s: the compiler takes it, and it is refused: %v", file, err)
			}
			continue
		}
		switch _, after := h.CompileModule(t.Context(), res.Wasm); {
		case before == nil && after == nil:
			both++
		case before != nil && after != nil:
			neither++
		case mended(before):
			neither++
		default:
			t.Errorf("%s: the compiler says %v, and rewritten %v", file, before, after)
		}
	}
	t.Logf("%d modules: %d valid before and behind, %d neither, %d refused", len(files), both, neither, refused)
}
