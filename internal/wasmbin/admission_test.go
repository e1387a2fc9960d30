package wasmbin_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// arrives admits a module that arrives in parts, compares the answer with that
// of Admit, and returns it. Bytes that have not arrived yet are garbage.
func arrives(t *testing.T, b []byte, l wasmbin.Limits, part func() int) (*wasmbin.Info, error) {
	t.Helper()
	space := bytes.Repeat([]byte{0xa5}, len(b))
	a := wasmbin.NewAdmission(space, l)
	defer a.Close()
	for n := 0; n < len(b); {
		n += copy(space[n:], b[n:min(len(b), n+part())])
		a.Advance(n)
	}
	got, gotErr := a.Finish()
	want, wantErr := wasmbin.Admit(b, l)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%d bytes: arriving it is %+v, in one piece %+v", len(b), got, want)
	}
	if !reflect.DeepEqual(gotErr, wantErr) {
		t.Errorf("%d bytes: arriving it is refused with %+v, in one piece with %+v", len(b), gotErr, wantErr)
	}
	return want, wantErr
}

// arrivesAnyhow does so with parts of various sizes: whole, and byte by byte if
// the module is small.
func arrivesAnyhow(t *testing.T, b []byte, l wasmbin.Limits) {
	t.Helper()
	arrives(t, b, l, func() int { return rand.IntN(128 << 10) })
	if len(b) < 200_000 {
		arrives(t, b, l, func() int { return len(b) })
		arrives(t, b, l, func() int { return rand.IntN(100) })
		arrives(t, b, l, func() int { return 1 })
	}
}

// code returns a guest with one of everything that a body can name, and with
// this body, which includes its `end`.
func code(body []byte) []byte {
	m := w.Command([]string{"wasi_snapshot_preview1.proc_exit:i>"}, w.I32(0), w.Drop())
	m.Table(4)
	m.Global(0)
	m.Element(0, 1)
	m.PassiveData([]byte("x"))
	body, _ = bytes.CutSuffix(body, []byte{0x0b})
	m.FuncLocals("i>", w.Vec([]byte{1, 0x7e}), body)
	m.Func(">", w.I32(1), w.Drop())
	names := w.Sized(w.Vec(w.Cat([]byte{2}, w.Str("run"))))
	return w.Cat(m.Bytes(), w.Custom("name", w.Cat([]byte{1}, names)))
}

func TestAdmission(t *testing.T) {
	many := w.New()
	many.Memory(1, -1)
	many.AsFunction(many.Func(">i", w.I32(0)))
	for i := range 300 {
		many.FuncLocals(">", w.Vec([]byte{3, 0x7f}), bytes.Repeat(w.Cat([]byte{3, 0x40}, w.I32(int32(i*1000)), w.Drop(), []byte{0x0b}), i))
	}
	whole := many.Bytes()
	sections := func(n int) []byte { return w.Cat(whole, bytes.Repeat(w.Section(0, []byte{0}), n)) }
	for name, c := range map[string]struct {
		b      []byte
		limits wasmbin.Limits
		text   string // of the error; "" means no error
	}{
		"everything":                     {b: everything()},
		"many functions":                 {b: whole},
		"too complex in the middle":      {b: whole, limits: wasmbin.Limits{Complexity: 10_000}, text: "too complex: its complexity"},
		"a body over the limit":          {b: whole, limits: wasmbin.Limits{Body: 500}, text: "bytes of code, the limit is 500 bytes"},
		"an unknown instruction, named":  {b: code([]byte{0xff, 0x0b}), text: "function 2 (run): unknown instruction"},
		"a bad body and bad data":        {b: w.Cat(code([]byte{0xff, 0x0b}), w.Section(11, []byte{9})), text: "the data section"},
		"a bad body and a forbidden one": {b: func() []byte { m := w.Function([]byte{0xff}); m.Export("ruedo:x", 0); return m.Bytes() }(), text: "ruedo:x"},
		"as many sections as may be":     {b: sections(9_990)},
		"too many sections":              {b: sections(10_000), text: "too many sections: 10001, the limit is 10000"},
		"names as long as may be":        {b: w.Cat(whole, w.Custom(strings.Repeat("x", 1<<20-100), nil))},
		"names that are too long":        {b: w.Cat(whole, w.Custom(strings.Repeat("x", 1<<19), nil), w.Custom(strings.Repeat("y", 1<<19), nil)), text: "too long (bytes in all)"},
		"nothing":                        {text: "empty file"},
		"HTML":                           {b: []byte(strings.Repeat(" ", 200) + "<html>"), text: "looks like HTML"},
		"the same, and not at the front": {b: code(w.Cat(bytes.Repeat([]byte{1}, 1000), []byte{0xff, 0x0b})), text: "function 2 (run): unknown instruction"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wasmbin.Admit(c.b, c.limits)
			if (err == nil) != (c.text == "") || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
			arrivesAnyhow(t, c.b, c.limits)
		})
	}
	t.Run("cut off", func(t *testing.T) {
		for n := range everything() {
			arrivesAnyhow(t, everything()[:n], wasmbin.Limits{})
		}
	})
	t.Run("large", func(t *testing.T) { arrivesAnyhow(t, large(t), wasmbin.Limits{}) })
}

// TestAdmissionWorksAhead changes bytes after they were announced: what was read
// before the change counts.
func TestAdmissionWorksAhead(t *testing.T) {
	in := code(bytes.Repeat([]byte{0x01}, 500_000))
	a := wasmbin.NewAdmission(in, wasmbin.Limits{})
	defer a.Close()
	a.Advance(len(in) - 1)
	clear(in[:len(in)/2])
	if _, err := a.Finish(); err != nil {
		t.Errorf("it was read again: %v", err)
	}
}

func TestAdmissionIsClosed(t *testing.T) {
	for _, in := range [][]byte{nil, everything(), code([]byte{0xff})} {
		for n := range len(in) + 1 {
			a := wasmbin.NewAdmission(in, wasmbin.Limits{})
			a.Advance(n)
			a.Close()
			a.Close()
			if info, err := a.Finish(); info == nil && err == nil {
				t.Fatalf("closed after %d bytes it is neither admitted nor refused", n)
			}
		}
	}
}

// FuzzAdmission compares three ways to read a module: Admit with the whole file,
// Admit in parts, and Code, which knows no plain instructions.
func FuzzAdmission(f *testing.F) {
	for _, body := range [][]byte{
		{0x0b},
		w.Cat([]byte{2, 0x40, 0x20, 0, 0x0e, 1, 0, 1, 0x0b}, w.I64(-1), []byte{0x1a, 0xfd, 12}, make([]byte, 16), []byte{0x1a, 0x0b}),
		{0x03, 0x40, 0x20, 0, 0x0d, 0, 0x0b, 0xfc, 10, 0, 0, 0x10, 1, 0xd0, 0x70, 0x1a, 0x0b},
		{0x41, 0, 0x28, 2, 4, 0x22, 0, 0x23, 0, 0x1a, 0x10, 0, 0x42, 0x80, 1, 0x29, 4, 0, 0x0b},
	} {
		f.Add(body, true, uint64(1), uint16(3))
	}
	f.Add(everything(), false, uint64(2), uint16(40))
	f.Add(w.Function(w.Forever()).Bytes(), false, uint64(3), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, isBody bool, seed uint64, maxPart uint16) {
		if isBody {
			b = code(b)
		}
		r := rand.New(rand.NewPCG(seed, 0))
		_, err := arrives(t, b, wasmbin.Limits{}, func() int { return r.IntN(int(maxPart) + 2) })
		plainly := readAll(b)
		if e, ok := errors.AsType[*fault.Error](err); ok && e.Reason != fault.Malformed {
			return // a limit or an import, which Read does not check
		}
		if !reflect.DeepEqual(plainly, err) {
			t.Errorf("admission says %v, reading %v", err, plainly)
		}
	})
}
