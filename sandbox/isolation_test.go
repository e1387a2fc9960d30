package sandbox_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// Addresses in the memory of a witness.
const (
	atData    = 96
	atStarts  = 200 // how often its start function ran,
	atInits   = 204 // _initialize,
	atWarms   = 208 // ruedo_warm,
	atCalls   = 212 // and ruedo_call
	atGlobal  = 216
	atSize    = 224 // of its memory, in pages
	atGrown   = 228 // what it found in memory that it grew by
	atTable   = 232 // what the function in its table says
	atDropped = 236
	witnessed = 240
)

// witness is a function guest whose answer is all of its state: overlapping
// data, a passive segment, how often each part ran, a global, the size of its
// memory, memory that it grows by, and the function in its table. Then it
// changes all of that. more adds code to _initialize, and to the module what
// that code needs.
func witness(more func(*w.Module) []byte) []byte {
	m := w.New()
	write := m.Import("ruedo", "output_write", "ii>i")
	m.Memory(2, -1)
	m.Table(4)
	g := m.Global(41)
	m.Data(atData, []byte("all of the data"))
	m.Data(atData+4, []byte("some"))
	passive := m.PassiveData([]byte("passive"))
	add := func(at int32) []byte {
		return w.Cat(w.I32(at), w.I32(at), w.Ops(0x28, 2, 0), w.I32(1), w.Ops(0x6a), w.Ops(0x36, 2, 0))
	}
	store := func(at int32, v ...[]byte) []byte { return w.Cat(w.I32(at), w.Cat(v...), w.Ops(0x36, 2, 0)) }
	seven := m.Func(">i", w.I32(7))
	m.Func(">i", w.I32(8))
	m.Element(seven, seven+1)
	m.Start(m.Func(">", add(atStarts)))
	var init []byte
	if more != nil {
		init = more(m)
	}
	m.Export(abi.ExportInitialize, m.Func(">", add(atInits), init,
		w.I32(atData+32), w.I32(0), w.I32(7), w.Ops(0xfc, 8), w.U32(passive), w.Ops(0)))
	m.Export(abi.ExportWarm, m.Func(">", add(atWarms), w.GlobalGet(g), w.I64(1), w.Ops(0x7c), w.GlobalSet(g)))
	m.AsFunction(m.Func(">i",
		add(atCalls),
		w.I32(atGlobal), w.GlobalGet(g), w.Ops(0x37, 3, 0),
		store(atSize, w.Ops(0x3f, 0)),
		w.I32(2), w.Ops(0x40, 0), w.Drop(),
		store(atGrown, w.I32(2*65536+5000), w.Ops(0x28, 2, 0)),
		store(atTable, w.I32(1), w.Ops(0x11), w.U32(m.Type(">i")), w.Ops(0)),
		w.CallWith(write, atData, witnessed-atData), w.Drop(),
		// Everything is changed now.
		w.I32(0), w.I32(0xee), w.I32(3*65536), w.Ops(0xfc, 11, 0),
		w.I64(-1), w.GlobalSet(g),
		w.I32(0)))
	return m.Bytes()
}

// wantWitness is the answer of a witness to its first call.
func wantWitness(table uint32) string {
	b := make([]byte, witnessed)
	copy(b[atData:], "all of the data")
	copy(b[atData+4:], "some")
	copy(b[atData+32:], "passive")
	for _, at := range []int{atStarts, atInits, atWarms, atCalls} {
		b[at] = 1
	}
	b[atGlobal] = 42
	b[atSize] = 2
	binary.LittleEndian.PutUint32(b[atTable:], table)
	return string(b[atData:])
}

// unrestorable lists things that _initialize does and that restoring memory and
// globals does not undo.
var unrestorable = []struct {
	name, why string
	more      func(*w.Module) []byte
	table     uint32 // what the function in the table says then
}{
	{"table.set", "table.set", func(*w.Module) []byte {
		return w.Cat(w.I32(1), w.I32(0), w.Ops(0x25, 0), w.Ops(0x26, 0))
	}, 7},
	{"table.copy", "table.copy", func(*w.Module) []byte { return w.Cat(w.I32(1), w.I32(0), w.I32(1), w.Ops(0xfc, 14, 0, 0)) }, 7},
	{"table.grow", "table.grow", func(*w.Module) []byte { return w.Cat(w.Ops(0xd0, 0x70), w.I32(3), w.Ops(0xfc, 15, 0), w.Drop()) }, 8},
	{"elem.drop", "elem.drop", func(*w.Module) []byte { return w.Ops(0xfc, 13, 0) }, 8},
	{"data.drop", "data.drop", func(*w.Module) []byte { return w.Ops(0xfc, 9, 0) }, 8},
	{"a reference that changes", "is a funcref", func(m *w.Module) []byte {
		m.GlobalRaw(w.Ops(0x70, 1, 0xd0, 0x70, 0x0b))
		return nil
	}, 8},
	{"a vector that changes", "is a v128", func(m *w.Module) []byte {
		m.GlobalRaw(w.Cat(w.Ops(0x7b, 1, 0xfd, 12), make([]byte, 16), w.Ops(0x0b)))
		return nil
	}, 8},
}

// TestEveryIsolationAnswersTheSame runs a guest that shows and then spoils all
// of its state, in every isolation, with and without state that cannot be
// restored.
func TestEveryIsolationAnswersTheSame(t *testing.T) {
	e := newEngine(t, cached())
	for _, asked := range []sandbox.Isolation{sandbox.Pristine, sandbox.Fresh} {
		t.Run(string(asked), func(t *testing.T) {
			tpl := loadIn(t, e, sandbox.Spec{Wasm: witness(nil), Isolation: asked, Limits: patient()})
			if r := tpl.Report(); r.Isolation != asked || r.IsolationReason != "" {
				t.Errorf("report: %+v", r)
			}
			sameAnswers(t, tpl, wantWitness(8))
		})
		for _, c := range unrestorable {
			t.Run(string(asked)+" with "+c.name, func(t *testing.T) {
				tpl := loadIn(t, e, sandbox.Spec{Wasm: witness(c.more), Isolation: asked, Limits: patient()})
				r := tpl.Report()
				if r.Isolation != sandbox.Fresh || asked == sandbox.Pristine && !strings.Contains(r.IsolationReason, c.why) {
					t.Errorf("report: %+v", r)
				}
				sameAnswers(t, tpl, wantWitness(c.table))
			})
		}
	}
}

func sameAnswers(t *testing.T, tpl *sandbox.Template, want string) {
	t.Helper()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for n := range 5 {
				res, err := tpl.Call(t.Context(), sandbox.Request{})
				if err != nil || string(res.Output) != want {
					t.Errorf("call %d: %v\n got %q\nwant %q", n, err, res.Output, want)
				}
			}
		})
	}
	wg.Wait()
}

// TestSharedStartsOnce runs shared instances of modules with and without state
// that cannot be restored. The start belongs to the instance, not to the call,
// and each call finds what the previous one left.
func TestSharedStartsOnce(t *testing.T) {
	e := newEngine(t, cached())
	for _, c := range append(unrestorable, unrestorable[0]) {
		if c.name == unrestorable[0].name {
			c.more = nil
		}
		t.Run(c.name, func(t *testing.T) {
			m := w.New()
			m.Memory(1, -1)
			m.Table(2)
			m.PassiveData([]byte("x"))
			m.Element(m.Func(">i", w.I32(0)))
			add := w.Cat(w.I32(0), w.I32(0), w.Ops(0x28, 2, 0), w.I32(1), w.Ops(0x6a), w.Ops(0x36, 2, 0))
			var more []byte
			if c.more != nil {
				more = c.more(m)
			}
			m.Export(abi.ExportInitialize, m.Func(">", more, w.I32(0), w.Ops(0x28, 2, 0), w.Ops(0x04, 0x40, 0x00, 0x0b), w.I32(0), w.I32(100), w.Ops(0x36, 2, 0)))
			m.AsFunction(m.Func(">i", add, w.I32(0), w.Ops(0x28, 2, 0)))
			tpl := loadIn(t, e, sandbox.Spec{Wasm: m.Bytes(), Isolation: sandbox.Shared, Limits: patient()})
			if r := tpl.Report(); r.Isolation != sandbox.Shared || r.IsolationReason != "" {
				t.Errorf("report: %+v", r)
			}
			for n := range 3 {
				res, err := tpl.Call(t.Context(), sandbox.Request{})
				if e := refused(t, err, fault.GuestError); e.Meta["status"] != fmt.Sprint(101+n) || res.Cold != (n == 0) {
					t.Errorf("call %d: %+v, cold %t", n, e, res.Cold)
				}
			}
		})
	}
}

// TestSharedForgetsFailures ends calls of a shared instance in every way: what
// the instance remembers of a failure must not affect the next call.
func TestSharedForgetsFailures(t *testing.T) {
	m := w.New()
	read := m.Import("ruedo", "input_read", "ii>i")
	m.Memory(1, -1)
	end := func(n int32, code ...[]byte) []byte {
		return w.Cat(w.I32(0), w.Ops(0x2d, 0, 0), w.I32(n), w.Ops(0x46, 0x04, 0x40), w.Cat(code...), w.Ops(0x0b))
	}
	add := w.Cat(w.I32(4), w.I32(4), w.Ops(0x28, 2, 0), w.I32(1), w.Ops(0x6a), w.Ops(0x36, 2, 0))
	m.AsFunction(m.Func(">i", w.CallWith(read, 0, 1), w.Drop(), add,
		end(1, w.I32(60_000), w.Ops(0x40, 0), w.Drop(), w.I32(0), w.Ops(0x0f)),
		end(2, w.Unreachable()),
		end(3, w.Loop()),
		w.I32(4), w.Ops(0x28, 2, 0)))
	tpl := load(t, sandbox.Spec{Wasm: m.Bytes(), Isolation: sandbox.Shared, Limits: sandbox.Limits{Timeout: time.Second, Memory: 4 << 20}})
	call := func(do byte) error {
		_, err := tpl.Call(t.Context(), sandbox.Request{Input: []byte{do}})
		return err
	}
	status := func(want string) {
		t.Helper()
		if e := refused(t, call(0), fault.GuestError); e.Meta["status"] != want {
			t.Errorf("got %+v, want %s", e, want)
		}
	}
	status("1")
	if err := call(1); err != nil { // it asks for too much, and works without
		t.Fatal(err)
	}
	status("3") // rather than GUEST_MEMORY
	refused(t, call(2), fault.GuestTrap)
	status("1") // a new instance
	refused(t, call(3), fault.GuestTimeout)
	status("1")
	status("2")
}

// TestSizesOfMemory covers empty memories, memories as large as the limit, and
// ones that grow to it at the start.
func TestSizesOfMemory(t *testing.T) {
	const limit = 8
	e := newEngine(t, cached())
	size := w.Ops(0x3f, 0)
	grow := func(n int32) []byte { return w.Cat(w.I32(n), w.Ops(0x40, 0)) }
	for _, c := range []struct {
		name     string
		min, max int64
		init     []byte
		want     int32 // size * 100 + what growing by one gives
	}{
		{"nothing", 0, -1, nil, 0},
		{"never anything", 0, 0, nil, -1},
		{"grown from nothing", 0, -1, w.Cat(grow(3), w.Drop()), 303},
		{"the limit", limit, -1, nil, limit*100 - 1},
		{"the limit and its own maximum", limit, limit, nil, limit*100 - 1},
		{"grown to the limit", 1, -1, w.Cat(grow(limit-1), w.Drop()), limit*100 - 1},
		{"grown to its own maximum", 1, 3, w.Cat(grow(2), w.Drop()), 299},
		{"grown by too much", 1, -1, w.Cat(grow(limit), w.Drop()), 101},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := w.New()
			m.Memory(c.min, c.max)
			m.Export(abi.ExportInitialize, m.Func(">", c.init))
			m.AsFunction(m.Func(">i", size, w.I32(100), w.Ops(0x6c), grow(1), w.Ops(0x6a)))
			tpl := loadIn(t, e, sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Memory: limit << 16, Timeout: 5 * time.Second}})
			snapshot, err := tpl.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				_, err := tpl.Call(t.Context(), sandbox.Request{})
				if c.want == 0 {
					if err != nil {
						t.Fatal(err)
					}
				} else if got, ok := err.(*fault.Error); !ok || got.Meta["status"] != fmt.Sprint(c.want) && !strings.Contains(got.Message, fmt.Sprintf("it returned %d", c.want)) {
					t.Fatalf("got %+v, want %d", err, c.want)
				}
				if checked, err := tpl.CheckIdle(snapshot, 1<<16); !checked || err != nil {
					t.Errorf("checked %t, %v", checked, err)
				}
			}
		})
	}
}

// TestDataStaysOut loads modules whose data the host cannot copy on its own,
// and that the compiler refuses for that reason. Otherwise they would not be
// restored, or the data would be copied over the snapshot again.
func TestDataStaysOut(t *testing.T) {
	e := newEngine(t, cached())
	for _, c := range []struct {
		name   string
		offset []byte
	}{
		{"of a global", w.GlobalGet(0)},
		{"negative", w.I32(-1)},
		{"behind the memory", w.I32(65536)},
		{"nothing", nil},
		{"of another type", w.I64(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := w.Function(w.I32(0))
			m.GlobalRaw(w.Cat(w.Ops(0x7f, 0), w.I32(7), w.Ops(0x0b)))
			m.DataRaw(w.Cat([]byte{0}, c.offset, w.Ops(0x0b), w.Sized([]byte("x"))))
			_, err := e.Load(t.Context(), sandbox.Spec{Wasm: m.Bytes()})
			refused(t, err, fault.CompileFailed)
			// In case the compiler accepts it one day.
			if r, err := instrument.Rewrite(m.Bytes(), instrument.Options{}); err == nil && (r.Restorable || len(r.Segments) > 0) {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// TestComputedData has data at an offset that the host does not compute, which
// the start changes. Each instance gets the data again and starts on its own.
func TestComputedData(t *testing.T) {
	m := w.New()
	m.Memory(1, -1)
	m.DataRaw(w.Cat([]byte{0}, w.I32(5), w.I32(6), w.Ops(0x6a, 0x0b), w.Sized([]byte{40})))
	m.Data(20, []byte{1})
	add := w.Cat(w.I32(11), w.I32(11), w.Ops(0x2d, 0, 0), w.I32(20), w.Ops(0x2d, 0, 0), w.Ops(0x6a, 0x3a, 0, 0))
	m.Export(abi.ExportInitialize, m.Func(">", add))
	m.AsFunction(m.Func(">i", add, w.I32(11), w.Ops(0x2d, 0, 0)))
	e := newEngine(t, cached())
	for asked, more := range map[sandbox.Isolation]int{sandbox.Pristine: 0, sandbox.Fresh: 0, sandbox.Shared: 1} {
		tpl := loadIn(t, e, sandbox.Spec{Wasm: m.Bytes(), Isolation: asked, Limits: patient()})
		if r := tpl.Report(); asked == sandbox.Pristine && (r.Isolation != sandbox.Fresh || !strings.Contains(r.IsolationReason, "not a constant")) {
			t.Errorf("report: %+v", r)
		}
		for n := range 3 {
			_, err := tpl.Call(t.Context(), sandbox.Request{})
			if e := refused(t, err, fault.GuestError); e.Meta["status"] != fmt.Sprint(42+n*more) {
				t.Errorf("%s, call %d: %+v", asked, n, e)
			}
		}
	}
}

// TestCheckIdleFindsResidue shows that the check behind the tests of restored
// memory notices a single byte.
func TestCheckIdleFindsResidue(t *testing.T) {
	for _, c := range []struct{ soil, want string }{
		{"memory", "byte 65536 is 0x1"}, {"global", "is 0x2b"}, {"grown", "the memory has 196608 bytes"}, {"", ""},
	} {
		tpl := load(t, sandbox.Spec{Wasm: witness(nil), Limits: patient()})
		snapshot, err := tpl.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tpl.Call(t.Context(), sandbox.Request{}); err != nil {
			t.Fatal(err)
		}
		tpl.SoilIdle(c.soil)
		checked, err := tpl.CheckIdle(snapshot, 1<<16)
		if !checked || (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: checked %t, %v", c.soil, checked, err)
		}
	}
}

// TestCommandsStartAnew runs a program with a start function: each call has its
// own memory, starts once, and is not initialized as a function would be.
func TestCommandsStartAnew(t *testing.T) {
	m := w.New()
	write := m.Import(wasi, "fd_write", "iiii>i")
	exit := m.Import(wasi, "proc_exit", "i>")
	m.Memory(1, -1)
	g := m.Global(int64('a'))
	m.Data(0, slices.Concat([]byte{16, 0, 0, 0, 3, 0, 0, 0}, make([]byte, 8), []byte("...")))
	add := func(at int32) []byte {
		return w.Cat(w.I32(at), w.I32(at), w.Ops(0x2d, 0, 0), w.I32(1), w.Ops(0x6a), w.Ops(0x3a, 0, 0))
	}
	m.Start(m.Func(">", add(16), w.GlobalGet(g), w.I64(1), w.Ops(0x7c), w.GlobalSet(g)))
	m.Export(abi.ExportInitialize, m.Func(">", w.Unreachable()))
	m.Export("_start", m.Func(">", add(17),
		w.I32(18), w.GlobalGet(g), w.Ops(0xa7, 0x3a, 0, 0),
		w.CallWith(write, 1, 0, 1, 8), w.Drop(),
		w.I32(0), w.I32(0xee), w.I32(65536), w.Ops(0xfc, 11, 0),
		w.I64(0), w.GlobalSet(g), w.CallWith(exit, 0)))
	tpl := load(t, sandbox.Spec{Wasm: m.Bytes(), Limits: patient()})
	for range 3 {
		res, err := tpl.Call(t.Context(), sandbox.Request{})
		if err != nil || string(res.Output) != "//b" || !res.Cold {
			t.Errorf("got %q, %v", res.Output, err)
		}
	}
	if n := tpl.Idle(); n != 0 {
		t.Errorf("%d instances wait", n)
	}
}

// TestGoAnswersTheSame runs the Go guest in every isolation, with calls whose
// answers do not depend on the ones before.
func TestGoAnswersTheSame(t *testing.T) {
	e := newEngine(t, cached())
	orders := []order{
		{Text: "hola", N: 21}, {Do: "head"}, {Do: "env"}, {Do: "files"}, {Do: "goroutines"}, {Do: "log", Text: "ñ"},
		{Do: "fail", Text: "no", N: 5}, {Do: "status", N: 3}, {Do: "write", N: 10},
	}
	want := make([]string, len(orders))
	for _, isolation := range []sandbox.Isolation{sandbox.Pristine, sandbox.Fresh, sandbox.Shared} {
		tpl := loadIn(t, e, sandbox.Spec{Wasm: guest(t, "function"), Isolation: isolation, Env: map[string]string{"A": "1"}, Limits: sandbox.Limits{Memory: 64 << 20, Timeout: time.Minute}})
		if r := tpl.Report(); r.Isolation != isolation {
			t.Errorf("report: %+v", r)
		}
		for round := range 2 {
			for n, o := range orders {
				in, err := json.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				res, err := tpl.Call(t.Context(), sandbox.Request{ID: "x", Input: in})
				var a answer
				if err == nil {
					if _, out, found := bytes.Cut(res.Output, make([]byte, 10)); found {
						res.Output = out // of the order to write
					}
					if err := json.Unmarshal(res.Output, &a); err != nil {
						t.Fatalf("%+v: %v: %q", o, err, res.Output)
					}
				}
				a.Count, a.Left = 0, 0 // of the calls before
				got := fmt.Sprintf("%+v, %q, %q, %v", a, res.Logs, res.ContentType, err)
				if want[n] == "" {
					want[n] = got
				}
				if got != want[n] {
					t.Errorf("%s, round %d, %+v:\n got %s\nwant %s", isolation, round, o, got, want[n])
				}
			}
		}
	}
}
