package sandbox_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// quick limits, so that a guest that is not stopped gets noticed.
func quick() sandbox.Limits {
	return sandbox.Limits{Stack: 8 << 20, Timeout: 200 * time.Millisecond, Memory: 4 << 20, Output: 64 << 10, Logs: 4 << 10}
}

// patient limits, for guests that end on their own on a busy machine.
func patient() sandbox.Limits {
	l := quick()
	l.Timeout = time.Minute
	return l
}

const wasi = "wasi_snapshot_preview1"

func TestHostileCalls(t *testing.T) {
	zero := w.I32(0)
	grow := func(pages int32) []byte { return w.Cat(w.I32(pages), w.Ops(0x40, 0)) }
	recursive := func() *w.Module {
		m := w.New()
		m.Memory(1, -1)
		f := m.Func(">i", w.Call(0), w.I32(1), w.Ops(0x6a))
		m.AsFunction(f)
		return m
	}
	indirect := func(code ...[]byte) *w.Module {
		m := w.New()
		m.Memory(1, -1)
		m.Table(2)
		m.AsFunction(m.Func(">i", code...))
		m.Element(m.Func("i>i", zero))
		return m
	}
	out := wasi + ".fd_write:iiii>i"
	// One vector at 0: the whole page.
	vector := w.Cat(w.I32(0), w.I32(0), w.Ops(0x36, 2, 0), w.I32(4), w.I32(65536), w.Ops(0x36, 2, 0))
	for _, c := range []struct {
		name   string
		reason fault.Reason
		kind   string // of a trap
		text   string // in the message
		m      *w.Module
	}{
		{"loop", fault.GuestTimeout, "", "the limit is 200ms", w.Function(w.Forever())},
		{"recursion", fault.GuestTrap, "stack overflow", "stack overflow", recursive()},
		{"memory bomb", fault.GuestMemory, "unreachable", "wanted 4160 KiB, the limit is 4 MiB",
			w.Function(w.Loop(w.Cat(grow(1), w.Ops(0x41, 0x7f, 0x46, 0x04, 0x40, 0x00, 0x0b))), w.Unreachable())},
		{"memory grown in one step", fault.GuestMemory, "out of bounds memory access", "the limit is 4 MiB",
			w.Function(grow(60_000), w.Ops(0x1a), w.I32(8<<20), w.I32(1), w.Ops(0x36, 2, 0), zero)},
		{"memory refused and a status", fault.GuestMemory, "", "it returned 5", w.Function(grow(60_000), w.Ops(0x1a), w.I32(5))},
		{"unreachable", fault.GuestTrap, "unreachable", "in ruedo_call: unreachable", w.Function(w.Unreachable())},
		{"division", fault.GuestTrap, "integer divide by zero", "", w.Function(w.I32(1), zero, w.Ops(0x6d))},
		{"overflow", fault.GuestTrap, "integer overflow", "", w.Function(w.I32(math.MinInt32), w.I32(-1), w.Ops(0x6d))},
		{"load out of bounds", fault.GuestTrap, "out of bounds memory access", "", w.Function(w.I32(-4), w.Ops(0x28, 2, 0))},
		{"call of a missing element", fault.GuestTrap, "invalid table access", "", indirect(zero, w.I32(1), w.Ops(0x11, 2, 0))},
		{"call of another type", fault.GuestTrap, "indirect call type mismatch", "", indirect(zero, w.Ops(0x11, 0, 0))},
		{"exit 3", fault.GuestExit, "", "code 3", w.FunctionWith([]string{wasi + ".proc_exit:i>"}, w.CallWith(0, 3), zero)},
		{"exit 0", fault.GuestExit, "", "code 0", w.FunctionWith([]string{wasi + ".proc_exit:i>"}, w.CallWith(0, 0), zero)},
		{"exit like a timeout", fault.GuestExit, "", "code 4026531839", w.FunctionWith([]string{wasi + ".proc_exit:i>"}, w.CallWith(0, -0x10000001), zero)},
		{"fail and exit", fault.GuestError, "", "outside of the guest's memory",
			w.FunctionWith([]string{wasi + ".proc_exit:i>", "ruedo.fail:iii>"}, w.CallWith(1, 5, -1, -1), w.CallWith(0, 1), zero)},
		{"yield for ever", fault.GuestTimeout, "", "", w.FunctionWith([]string{wasi + ".sched_yield:>i"}, w.Forever(w.Call(0), w.Drop()))},
		{"random for ever", fault.GuestTimeout, "", "", w.FunctionWith([]string{wasi + ".random_get:ii>i"}, w.Forever(w.CallWith(0, 0, 65536), w.Drop()))},
		{"log for ever", fault.GuestTimeout, "", "", w.FunctionWith([]string{"ruedo.log:iii>"}, w.Forever(w.CallWith(0, 0, 0, 65536)))},
		{"print for ever", fault.GuestTimeout, "", "", w.FunctionWith([]string{out}, vector, w.Forever(w.CallWith(0, 1, 0, 1, 100), w.Drop()))},
		{"output for ever", fault.GuestOutputLimit, "", "the limit is 64 KiB", w.FunctionWith([]string{"ruedo.output_write:ii>i"}, w.Forever(w.CallWith(0, 0, 1000), w.Drop()))},
		{"vectors without end", fault.GuestTimeout, "", "", w.FunctionWith([]string{out},
			w.I32(60), w.Ops(0x40, 0, 0x1a), // 61 pages, as empty vectors at 0
			w.Forever(w.CallWith(0, 1, 0, 490_000, 0), w.Drop()))},
	} {
		t.Run(c.name, func(t *testing.T) {
			limits, maxTime := quick(), 10*time.Second
			if c.kind == "stack overflow" {
				// A metered guest can run out of time before the end of its stack.
				limits.Timeout, maxTime = 20*time.Second, 20*time.Second
			}
			tpl := load(t, sandbox.Spec{Wasm: c.m.Bytes(), Limits: limits})
			began := time.Now()
			res, err := tpl.Call(t.Context(), sandbox.Request{})
			took := time.Since(began)
			e := refused(t, err, c.reason)
			t.Logf("%s %s %v (%s)", e.Reason, e.Message, e.Meta, took)
			if e.Meta["kind"] != c.kind || !strings.Contains(e.Message, c.text) {
				t.Errorf("got %+v, want kind %q, text %q", e, c.kind, c.text)
			}
			if took > maxTime {
				t.Errorf("it took %s", took)
			}
			if len(res.Logs) > 5<<10 || res.Memory > 4<<20 || res.Memory == 0 || res.Duration == 0 {
				t.Errorf("result: %d bytes of logs, memory %d", len(res.Logs), res.Memory)
			}
			if c.reason == fault.GuestTrap && c.kind != "stack overflow" && e.Meta["trace"] == "" {
				t.Error("no trace")
			}
			// The next call works as well as the first.
			_, err = tpl.Call(t.Context(), sandbox.Request{})
			refused(t, err, c.reason)
		})
	}
}

func TestHostileStarts(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason fault.Reason
		text   string
		build  func(m *w.Module)
	}{
		{"loop in the start function", fault.GuestTimeout, "cannot start", func(m *w.Module) { m.Start(m.Func(">", w.Loop())) }},
		{"loop in _initialize", fault.GuestTimeout, "cannot start", func(m *w.Module) { m.Export(abi.ExportInitialize, m.Func(">", w.Loop())) }},
		{"loop in ruedo_warm", fault.GuestTimeout, "cannot start", func(m *w.Module) { m.Export(abi.ExportWarm, m.Func(">", w.Loop())) }},
		{"recursion in the start function", fault.GuestTrap, "its start function: stack overflow", func(m *w.Module) { m.Start(m.Func(">", w.Call(2))) }},
		{"recursion in _initialize", fault.GuestTrap, "in _initialize: stack overflow", func(m *w.Module) { m.Export(abi.ExportInitialize, m.Func(">", w.Call(2))) }},
		{"trap in the start function", fault.GuestTrap, "its start function: unreachable", func(m *w.Module) { m.Start(m.Func(">", w.Unreachable())) }},
		{"trap in _initialize", fault.GuestTrap, "in _initialize: unreachable", func(m *w.Module) { m.Export(abi.ExportInitialize, m.Func(">", w.Unreachable())) }},
		{"memory over the limit", fault.WasmLimitMemory, "requires 6.2 MiB of memory at its start, the limit is 4 MiB", nil},
		{"data out of bounds", fault.CompileFailed, "out of bounds", func(m *w.Module) { m.Data(65535, []byte("xx")) }},
		{"invalid body", fault.CompileFailed, "not valid", func(m *w.Module) { m.Func(">i", w.Ops(0x6a)) }},
		{"unknown instruction", fault.Malformed, "unknown instruction 0xff", func(m *w.Module) { m.Func(">", w.Ops(0xff)) }},
		{"a billion locals", fault.WasmLimitLocals, "too many locals: 1000000000", func(m *w.Module) {
			m.FuncLocals(">", w.Vec(w.Cat(w.U32(1e9), []byte{0x7f})))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := w.New()
			if c.build == nil {
				m.Memory(100, -1)
			} else {
				m.Memory(1, -1)
			}
			m.AsFunction(m.Func(">i", w.I32(0)))
			if c.build != nil {
				c.build(m)
			}
			began := time.Now()
			_, err := newEngine(t, sandbox.Config{}).Load(t.Context(), sandbox.Spec{Wasm: m.Bytes(), Limits: quick()})
			e := refused(t, err, c.reason)
			t.Logf("%s (%s)", e.Message, time.Since(began))
			if !strings.Contains(e.Message, c.text) || time.Since(began) > 20*time.Second {
				t.Errorf("got %+v after %s", e, time.Since(began))
			}
		})
	}
	t.Run("not a module", func(t *testing.T) {
		_, err := newEngine(t, sandbox.Config{}).Load(t.Context(), sandbox.Spec{Wasm: []byte("\x7fELF")})
		refused(t, err, fault.NotAModule)
	})
	t.Run("environment", func(t *testing.T) {
		for _, env := range []map[string]string{{"": "x"}, {"A=B": "x"}, {"A": "secret\x00"}} {
			_, err := newEngine(t, sandbox.Config{}).Load(t.Context(), sandbox.Spec{Wasm: w.Function(w.I32(0)).Bytes(), Env: env})
			if e := refused(t, err, fault.RequestInvalid); strings.Contains(e.Message, "secret") {
				t.Errorf("a value is in the message: %s", e.Message)
			}
		}
	})
}

// TestTablesGrowOnlySoFar asks for 200 million elements, which the runtime
// would grant, and for a few.
func TestTablesGrowOnlySoFar(t *testing.T) {
	for _, encoded := range []string{"\x70\x00\x02", "\x70\x01\x02\xff\xff\xff\xff\x0f", "\x70\x01\x02\x0a"} {
		for _, c := range []struct {
			by   int32
			want string
		}{{200_000_000, "-1"}, {5, "2"}} {
			m := w.New()
			m.Memory(1, -1)
			m.TableRaw([]byte(encoded))
			m.TableRaw([]byte("\x6f\x01\x00\x01"))
			m.AsFunction(m.Func(">i", w.Ops(0xd0, 0x70), w.I32(c.by), w.Ops(0xfc, 15, 0)))
			tpl := load(t, sandbox.Spec{Wasm: m.Bytes(), Limits: quick()})
			_, err := tpl.Call(t.Context(), sandbox.Request{})
			if e := refused(t, err, fault.GuestError); e.Meta["status"] != c.want {
				t.Errorf("table %q grown by %d: got %+v, want %s", encoded, c.by, e, c.want)
			}
		}
	}
}

// TestSleep asks poll_oneoff for an hour, on each clock, and for counts that
// overflow.
func TestSleep(t *testing.T) {
	clock := func(id uint32, timeout uint64, flags uint16) []byte {
		s := make([]byte, 48)
		binary.LittleEndian.PutUint64(s, 77) // user data
		binary.LittleEndian.PutUint32(s[16:], id)
		binary.LittleEndian.PutUint64(s[24:], timeout)
		binary.LittleEndian.PutUint16(s[40:], flags)
		return s
	}
	read := func(fd uint32) []byte {
		s := make([]byte, 48)
		s[8] = 1
		binary.LittleEndian.PutUint32(s[16:], fd)
		return s
	}
	hour := uint64(time.Hour)
	for _, c := range []struct {
		name   string
		subs   [][]byte
		count  int32
		reason fault.Reason // or
		status int32        // errno plus the number of events * 100
	}{
		{"an hour", [][]byte{clock(1, hour, 0)}, 1, fault.GuestTimeout, 0},
		{"for ever", [][]byte{clock(0, math.MaxUint64, 0)}, 1, fault.GuestTimeout, 0},
		{"until an hour from now", [][]byte{clock(0, uint64(time.Now().Add(time.Hour).UnixNano()), 1)}, 1, fault.GuestTimeout, 0},
		{"until an hour after the start", [][]byte{clock(1, hour, 1)}, 1, fault.GuestTimeout, 0},
		{"until the past", [][]byte{clock(0, 1, 1)}, 1, "", 100},
		{"the first of two", [][]byte{clock(1, hour, 0), clock(1, 1000, 0)}, 2, "", 100},
		{"a stream is ready", [][]byte{clock(1, hour, 0), read(0), read(9)}, 3, "", 200},
		{"clock of the processor", [][]byte{clock(2, hour, 1)}, 1, "", 58},
		{"unknown flags", [][]byte{clock(1, hour, 2)}, 1, "", 28},
		{"nothing", nil, 0, "", 28},
		{"huge count", nil, 0x10000000, "", 28},
		{"count that overflows", nil, 0x05555556, "", 28},
		{"more than there is memory", nil, 4096, "", 21},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := w.FunctionWith([]string{wasi + ".poll_oneoff:iiii>i"},
				w.CallWith(0, 0, 1024, c.count, 4096), w.I32(4096), w.Ops(0x28, 2, 0), w.I32(100), w.Ops(0x6c, 0x6a))
			m.Data(0, slices.Concat(c.subs...))
			tpl := load(t, sandbox.Spec{Wasm: m.Bytes(), Limits: quick()})
			began := time.Now()
			_, err := tpl.Call(t.Context(), sandbox.Request{})
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
			if c.reason != "" {
				refused(t, err, c.reason)
			} else if e := refused(t, err, fault.GuestError); e.Meta["status"] != fmt.Sprint(c.status) {
				t.Errorf("got %+v, want %d", e, c.status)
			}
		})
	}
}

// TestStateNeverLeaks makes each call read what the previous one may have left
// in memory, in a global and in grown memory. Then it writes there and ends in
// a different way.
func TestStateNeverLeaks(t *testing.T) {
	m := w.New()
	read := m.Import("ruedo", "input_read", "ii>i")
	exit := m.Import(wasi, "proc_exit", "i>")
	m.Memory(1, -1)
	g := m.Global(0)
	// Non-zero if anything is dirty: a byte, the global, the size of the memory.
	dirty := w.Cat(
		w.I32(5000), w.Ops(0x28, 2, 0),
		w.GlobalGet(g), w.Ops(0xa7, 0x72),
		w.Ops(0x3f, 0), w.I32(1), w.Ops(0x6b, 0x72),
		w.Ops(0x04, 0x40), w.I32(99), w.Ops(0x0f, 0x0b))
	soil := w.Cat(
		w.I32(5000), w.I32(-1), w.Ops(0x36, 2, 0),
		w.I64(7), w.GlobalSet(g),
		w.I32(3), w.Ops(0x40, 0, 0x1a),
		w.I32(100_000), w.I32(-1), w.Ops(0x36, 2, 0))
	// The first byte of the input says how the call ends.
	end := func(n int32, code ...[]byte) []byte {
		return w.Cat(w.I32(0), w.Ops(0x2d, 0, 0), w.I32(n), w.Ops(0x46, 0x04, 0x40), w.Cat(code...), w.Ops(0x0b))
	}
	m.AsFunction(m.Func(">i", dirty, w.CallWith(read, 0, 1), w.Drop(), soil,
		end(1, w.Unreachable()), end(2, w.CallWith(exit, 1)), end(3, w.Loop()), w.I32(0)))
	tpl := load(t, sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: 10 * time.Second, Memory: 1 << 20}})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 40 {
				ending := byte(i % 4)
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if ending == 3 {
					ctx, cancel = context.WithTimeout(ctx, 30*time.Millisecond)
				}
				_, err := tpl.Call(ctx, sandbox.Request{Input: []byte{ending}})
				cancel()
				switch ending {
				case 0:
					if err != nil {
						t.Errorf("call %d: %v", i, err)
					}
				case 1:
					refused(t, err, fault.GuestTrap)
				case 2:
					refused(t, err, fault.GuestExit)
				case 3:
					refused(t, err, fault.GuestTimeout)
				}
			}
		})
	}
	wg.Wait()
}

// TestEverythingIsBack runs hostile calls and checks that memory and goroutines
// are back to what they were.
func TestEverythingIsBack(t *testing.T) {
	e := newEngine(t, sandbox.Config{})
	m := w.New()
	m.Memory(1, -1)
	m.AsFunction(m.Func(">i", w.Call(0), w.I32(1), w.Ops(0x6a)))
	deep, err := e.Load(t.Context(), sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: 10 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	// 64 MB of memory, every page of which is touched, and a loop.
	m = w.Function(w.I32(1000), w.Ops(0x40, 0, 0x1a), w.I32(0), w.I32(7), w.I32(60<<20), w.Ops(0xfc, 11, 0), w.Forever())
	fat, err := e.Load(t.Context(), sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: 100 * time.Millisecond, Memory: 80 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory()
	goroutines, before := runtime.NumGoroutine(), resident(t)
	for range 5 {
		_, err := deep.Call(t.Context(), sandbox.Request{})
		refused(t, err, fault.GuestTrap)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := fat.Call(t.Context(), sandbox.Request{})
				refused(t, err, fault.GuestTimeout)
			})
		}
		wg.Wait()
	}
	testkit.Eventually(t, "no goroutine is left over", func() bool { return runtime.NumGoroutine() <= goroutines })
	if before > 0 && !racing {
		testkit.Eventually(t, "no memory is left over", func() bool { return resident(t) < before+100<<20 })
		t.Logf("resident before %d MB, after %d MB", before>>20, resident(t)>>20)
	}
}

// resident returns the memory of this process in bytes, or 0 if that is not
// known.
func resident(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, res int
	if _, err := fmt.Sscan(string(b), &size, &res); err != nil {
		t.Fatal(err)
	}
	return res * os.Getpagesize()
}

func TestLogFlood(t *testing.T) {
	vectors := func(fd int32) []byte {
		return w.FunctionWith([]string{wasi + ".fd_write:iiii>i"},
			w.I32(0), w.I32(8), w.Ops(0x36, 2, 0), w.I32(4), w.I32(60_000), w.Ops(0x36, 2, 0),
			// 200 times, as a loop with a counter in memory.
			w.Ops(0x03, 0x40), w.CallWith(0, fd, 0, 1, 100), w.Drop(),
			w.I32(4096*15), w.I32(4096*15), w.Ops(0x28, 2, 0), w.I32(1), w.Ops(0x6a, 0x36, 2, 0),
			w.I32(4096*15), w.Ops(0x28, 2, 0), w.I32(200), w.Ops(0x49, 0x0d, 0, 0x0b),
			w.I32(0)).Bytes()
	}
	for _, fd := range []int32{1, 2} {
		tpl := load(t, sandbox.Spec{Wasm: vectors(fd), Limits: sandbox.Limits{Logs: 1000}})
		res, err := tpl.Call(t.Context(), sandbox.Request{})
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("... dropped %d bytes: the limit is 1000; raise logs in a decorator\n", res.LogsDropped)
		if len(res.Logs) > 1200 || res.LogsDropped < 200*60_000-1000 || res.LogsDropped > 200*60_000 || !strings.HasSuffix(string(res.Logs), want) {
			t.Errorf("stream %d: %d bytes, dropped %d: %q", fd, len(res.Logs), res.LogsDropped, res.Logs)
		}
	}
}

func TestCommand(t *testing.T) {
	wasm := guest(t, "command")
	tpl := load(t, sandbox.Spec{Wasm: wasm, Env: map[string]string{"A": "1", "B": "2", "GREETING": "hola"}, Example: []byte("a b")})
	if r := tpl.Report(); r.Kind != sandbox.Command || r.Example != nil {
		t.Errorf("report: %+v", r)
	}
	big := bytes.Repeat([]byte("word "), 200_000)
	for _, c := range []struct{ in, out, logs string }{
		{"", "0\n", "read 0 bytes hola\n"},
		{"one two three", "3\n", "read 13 bytes hola\n"},
		{string(big), "200000\n", "read 1000000 bytes hola\n"},
	} {
		res, err := tpl.Call(t.Context(), sandbox.Request{Input: []byte(c.in)})
		if err != nil || string(res.Output) != c.out || string(res.Logs) != c.logs || res.ExitCode != 0 {
			t.Errorf("got %q, %q, %v", res.Output, res.Logs, err)
		}
	}
	res, err := tpl.Call(t.Context(), sandbox.Request{Input: []byte("bad luck")})
	e := refused(t, err, fault.GuestExit)
	if e.Meta["exit_code"] != "3" || res.ExitCode != 3 || string(res.Output) != "2\n" {
		t.Errorf("got %+v, %+v", e, res)
	}

	// Calls at the same time see their own callers, and those without one see none.
	var calls sync.WaitGroup
	for n := range 8 {
		calls.Go(func() {
			caller, want := fmt.Sprint("user/", n), fmt.Sprintf("read 0 bytes hola\nof user/%d\n", n)
			if n%4 == 0 {
				caller, want = []string{"", "anonymous"}[n/4], "read 0 bytes hola\n"
			}
			for range 4 {
				if res, err := tpl.Call(t.Context(), sandbox.Request{Caller: caller}); err != nil || string(res.Logs) != want {
					t.Errorf("a call of %q: %q, %v", caller, res.Logs, err)
				}
			}
		})
	}
	calls.Wait()

	flood := load(t, sandbox.Spec{Wasm: wasm, Args: []string{"flood"}, Limits: sandbox.Limits{Output: 1 << 20, Timeout: 30 * time.Second}})
	began := time.Now()
	_, err = flood.Call(t.Context(), sandbox.Request{})
	e = refused(t, err, fault.GuestOutputLimit)
	if took := time.Since(began); took > 5*time.Second || e.Meta["limit"] != "1048576" {
		t.Errorf("got %+v after %s", e, took)
	}
}

// pauses is a turn that says when it is given back.
type pauses chan struct{}

func (p pauses) Pause() { p <- struct{}{} }

func (p pauses) Resume(context.Context) error { return nil }

func TestClose(t *testing.T) {
	e := newEngine(t, sandbox.Config{})
	m := w.FunctionWith([]string{wasi + ".poll_oneoff:iiii>i"}, w.CallWith(0, 0, 1024, 1, 4096))
	m.Data(0, subscription(0, 1, uint64(time.Hour)))
	m.Export("ruedo_http", m.Func(">")) // so that it has a turn
	spec := sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: time.Hour}}
	tpl, err := e.Load(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	other, err := e.Load(t.Context(), spec) // shares the compiled module
	if err != nil {
		t.Fatal(err)
	}
	ended, asleep := make(chan error, 1), make(pauses, 1)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	go func() {
		_, err := tpl.Call(ctx, sandbox.Request{Turn: asleep})
		ended <- err
	}()
	<-asleep // the call is in flight
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := tpl.Close(short); err == nil {
		t.Error("Close did not wait for the call")
	}
	leave()
	if err := tpl.Close(t.Context()); err != nil {
		t.Error(err)
	}
	refused(t, <-ended, fault.Canceled)
	if err := tpl.Close(t.Context()); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	_, err = tpl.Call(t.Context(), sandbox.Request{})
	if refused(t, err, fault.Internal).Err != sandbox.ErrClosed {
		t.Errorf("got %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = other.Call(soon, sandbox.Request{})
	refused(t, err, fault.GuestTimeout)
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = other.Call(t.Context(), sandbox.Request{})
	refused(t, err, fault.Internal)
	_, err = e.Load(t.Context(), spec)
	refused(t, err, fault.Internal)
}

// TestCacheOnDisk loads a module four times: it is compiled, loaded from the
// cache, compiled again because the cached code is damaged, and loaded although
// nothing can be cached.
func TestCacheOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "cache")
	wasm := w.Function(w.I32(0)).Bytes()
	use := func() {
		t.Helper()
		e := newEngine(t, sandbox.Config{CacheDir: dir})
		tpl, err := e.Load(t.Context(), sandbox.Spec{Wasm: wasm})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tpl.Call(t.Context(), sandbox.Request{}); err != nil {
			t.Error(err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() (string, os.FileInfo) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*.code"))
		if err != nil || len(files) != 1 {
			t.Fatalf("kept %v, %v", files, err)
		}
		st, err := os.Stat(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return files[0], st
	}
	use()
	if st, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o700 {
		t.Errorf("mode of the cache: %v, %v", st, err)
	}
	file, first := kept()
	use()
	if _, second := kept(); !os.SameFile(first, second) {
		t.Error("the module was compiled again")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(b)
	damaged[len(b)/2] ^= 0xff
	for _, bad := range [][]byte{damaged, b[:len(b)/2], {}} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		use()
		if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, b) {
			t.Errorf("the cache was not mended: %d bytes, %v", len(now), err)
		}
	}
	e := newEngine(t, sandbox.Config{CacheDir: dir})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Load(t.Context(), sandbox.Spec{Wasm: wasm}); err != nil {
		t.Errorf("without a cache to write to: %v", err)
	}
	if _, err := sandbox.New(t.Context(), sandbox.Config{CacheDir: file + "\x00"}); err == nil {
		t.Error("an impossible directory is taken")
	}
}
