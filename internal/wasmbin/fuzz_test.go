package wasmbin_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

func seeds(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(w.Header())
	f.Add([]byte("\x00asm\x0d\x00\x01\x00"))
	f.Add(everything())
	f.Add(w.Function(w.Forever()).Bytes())
	f.Add(w.Cat(w.Header(), w.Section(1, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})))
	f.Add(w.Cat(w.Header(), w.Section(9, w.Vec([]byte{6, 0, 0x41, 0, 0x0b, 0x70, 0}))))
}

// check checks what holds for every error, and bounds the memory that was
// allocated.
func check(t *testing.T, in []byte, read func() error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := read()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20+64*uint64(len(in)) {
		t.Errorf("%d bytes allocated for %d bytes of input", n, len(in))
	}
	if err == nil {
		return
	}
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Reason == "" || e.Message == "" || offset(e) < -1 || offset(e) > int64(len(in)) {
		t.Errorf("got %+v", err)
	}
}

func FuzzRead(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		check(t, b, func() error {
			m, err := wasmbin.Read(b)
			if err == nil && m == nil {
				t.Error("no module and no error")
			}
			return err
		})
	})
}

func FuzzAdmit(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		check(t, b, func() error {
			info, err := wasmbin.Admit(b, wasmbin.Limits{})
			if err == nil && info.Kind == "" {
				t.Error("no kind")
			}
			return err
		})
	})
}
