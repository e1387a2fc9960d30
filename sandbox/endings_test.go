package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// TestNamesCannotImitateTheHost gives functions names that look like the
// runtime's messages about faults of the host.
func TestNamesCannotImitateTheHost(t *testing.T) {
	for _, name := range []string{"x (recovered by wazero)", "wasm error: stack overflow", "stack overflow", "a\nwasm stack trace:\n(recovered by wazero)"} {
		m := w.Function(w.Unreachable())
		names := w.Custom("name", w.Section(1, w.Vec(w.Cat(w.U32(0), w.Str(name)))))
		tpl := load(t, sandbox.Spec{Wasm: w.Cat(m.Bytes(), names), Limits: patient()})
		_, err := tpl.Call(t.Context(), sandbox.Request{})
		if e := refused(t, err, fault.GuestTrap); e.Meta["kind"] != "unreachable" {
			t.Errorf("%q: got %+v", name, e)
		}
	}
}

// TestExitCodesAreNoErrorsOfAContext exits with the codes that the runtime
// reserves for the end of a context.
func TestExitCodesAreNoErrorsOfAContext(t *testing.T) {
	for _, code := range []uint32{0xffffffff, 0xefffffff} {
		tpl := load(t, sandbox.Spec{Wasm: w.FunctionWith([]string{wasi + ".proc_exit:i>"}, w.CallWith(0, int32(code)), w.I32(0)).Bytes(), Limits: patient()})
		_, err := tpl.Call(t.Context(), sandbox.Request{})
		if e := refused(t, err, fault.GuestExit); e.Meta["exit_code"] != fmt.Sprint(code) {
			t.Errorf("got %+v", e)
		}
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("exit code %#x is the error of a context: %v", code, err)
		}
	}
}

// TestFailureOfACommand reports that the call failed, and exits normally.
func TestFailureOfACommand(t *testing.T) {
	for _, end := range [][]byte{nil, w.CallWith(1, 0), w.CallWith(1, 3)} {
		m := w.Command([]string{"ruedo.fail:iii>", wasi + ".proc_exit:i>"}, w.CallWith(0, 9, 0, 4), end)
		m.Data(0, []byte("nope"))
		tpl := load(t, sandbox.Spec{Wasm: m.Bytes(), Limits: patient()})
		_, err := tpl.Call(t.Context(), sandbox.Request{})
		if e := refused(t, err, fault.GuestError); e.ConnectCode() != 9 || e.Message != "nope" {
			t.Errorf("got %+v", e)
		}
	}
}

// TestFaultOfTheHost lets a host function panic in the middle of a call. The
// call gets an answer, the log the panic, and the instance is not used again.
func TestFaultOfTheHost(t *testing.T) {
	for _, bug := range []any{errors.New("secret of the host"), "secret of the host", runtimeError()} {
		var log bytes.Buffer
		cfg := cached()
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		tpl, err := newEngine(t, cfg).Load(t.Context(), sandbox.Spec{
			Wasm: w.FunctionWith([]string{wasi + ".clock_time_get:iIi>i"}, w.I32(0), w.I64(0), w.I32(0), w.Call(0)).Bytes(), Limits: patient(),
		})
		if err != nil {
			t.Fatal(err)
		}
		tpl.BreakClock(bug)
		for range 2 {
			res, err := tpl.Call(t.Context(), sandbox.Request{})
			e := refused(t, err, fault.Internal)
			if !strings.Contains(e.Message, "internal error in the sandbox while running ruedo_call") || strings.Contains(e.Message, "secret") || !res.Cold || tpl.Idle() != 0 {
				t.Errorf("got %+v, cold %t, %d idle", e, res.Cold, tpl.Idle())
			}
		}
		if n := strings.Count(log.String(), "a host function panicked"); n != 2 {
			t.Errorf("logged %d times: %s", n, log.String())
		}
	}
}

func runtimeError() (v any) {
	defer func() { v = recover() }()
	var none []int
	return none[len(none)]
}

// TestCallerThatIsGone does not run anything for a caller that is gone.
func TestCallerThatIsGone(t *testing.T) {
	tpl := load(t, sandbox.Spec{Wasm: w.Function(w.I32(0)).Bytes(), Limits: patient()})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for ctx, reason := range map[context.Context]fault.Reason{gone: fault.Canceled, late: fault.GuestTimeout} {
		_, err := tpl.Call(ctx, sandbox.Request{})
		if e := refused(t, err, reason); !strings.Contains(e.Message, "was not run") || !errors.Is(err, ctx.Err()) {
			t.Errorf("got %+v", e)
		}
	}
	if n := tpl.Idle(); n != 0 {
		t.Errorf("%d instances were made", n)
	}
	if _, err := tpl.Call(t.Context(), sandbox.Request{}); err != nil {
		t.Error(err)
	}
}

// TestVectors reads and writes lists of pieces of memory, valid and invalid.
func TestVectors(t *testing.T) {
	c, wasm := newCaller()
	tpl := load(t, sandbox.Spec{Wasm: wasm})
	const size = 2 * 65536
	var in []byte
	var want []int64
	for _, x := range []struct {
		name            string
		fd, at, n, done uint64
		want            int64
	}{
		{"fd_write", 1, 0, 1024, 8192, 0}, // all of them empty
		{"fd_read", 0, 0, 1024, 8192, 0},
		{"fd_write", 1, 0, 1025, 8192, 28},
		{"fd_read", 0, 0, 1 << 31, 8192, 28},
		{"fd_write", 2, 0, 0xffffffff, 8192, 28},
		{"fd_write", 0, 0, 1, 8192, 8},
		{"fd_write", 3, 0, 1, 8192, 8},
		{"fd_read", 1, 0, 1, 8192, 8},
		{"fd_read", 0xffffffff, 0, 1, 8192, 8},
		{"fd_write", 1, size - 8, 1, 8192, 0},
		{"fd_write", 1, size - 8, 2, 8192, 21},
		{"fd_write", 1, 0xffffffff, 1, 8192, 21},
		{"fd_read", 0, 0, 1, size - 3, 21},
	} {
		in = append(in, c.call(x.name, x.fd, x.at, x.n, x.done)...)
		want = append(want, x.want)
	}
	res, err := tpl.Call(t.Context(), sandbox.Request{Input: in})
	if err != nil {
		t.Fatal(err)
	}
	if got := results(res.Output); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(res.Logs) != 0 {
		t.Errorf("logs: %q", res.Logs)
	}
}

// TestManyVectors reads forever into sixteen million vectors at a time, which
// kept the host busy for seconds beyond the end of the call.
func TestManyVectors(t *testing.T) {
	tpl := load(t, sandbox.Spec{
		Wasm: w.FunctionWith([]string{wasi + ".fd_read:iiii>i"}, w.I32(2046), w.Ops(0x40, 0), w.Drop(),
			w.Forever(w.CallWith(0, 0, 0, 16_000_000, 0), w.Drop())).Bytes(),
		Limits: sandbox.Limits{Timeout: 100 * time.Millisecond, Memory: 128 << 20},
	})
	calm(t, func() time.Duration {
		res, err := tpl.Call(t.Context(), sandbox.Request{})
		refused(t, err, fault.GuestTimeout)
		return res.Duration - 100*time.Millisecond
	}, 500*time.Millisecond)
}

// TestSweep closes what no call needed for a round, and no more.
func TestSweep(t *testing.T) {
	tpl := load(t, sandbox.Spec{Wasm: w.FunctionWith([]string{wasi + ".poll_oneoff:iiii>i"}, w.CallWith(0, 0, 100, 1, 200)).Bytes(), Limits: patient()})
	call := func() {
		t.Helper()
		if _, err := tpl.Call(t.Context(), sandbox.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	call()
	for n, want := range []int{1, 1, 0} {
		if n == 1 {
			call() // between the first round and the second
		}
		tpl.Sweep()
		if got := tpl.Idle(); got != want {
			t.Errorf("after round %d: %d idle, want %d", n+1, got, want)
		}
	}
	call()
}

// TestSweepAndCloseBesideCalls closes instances, and then everything, while
// calls are made: each gets an answer or finds the template closed.
func TestSweepAndCloseBesideCalls(t *testing.T) {
	e := newEngine(t, cached())
	tpl := loadIn(t, e, sandbox.Spec{Wasm: witness(nil), Limits: patient()})
	var calls, swept sync.WaitGroup
	var answers, closed atomic.Int64
	for range 6 {
		calls.Go(func() {
			for {
				res, err := tpl.Call(t.Context(), sandbox.Request{})
				switch {
				case errors.Is(err, sandbox.ErrClosed):
					closed.Add(1)
					return
				case err != nil || string(res.Output) != wantWitness(8):
					t.Errorf("got %q, %v", res.Output, err)
					return
				}
				answers.Add(1)
			}
		})
	}
	stop := make(chan struct{})
	swept.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				tpl.Sweep()
			}
		}
	})
	testkit.Eventually(t, "there are more than 200 answers", func() bool { return answers.Load() > 200 || t.Failed() })
	close(stop)
	swept.Wait()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := e.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	both.Wait()
	if closed.Load() != 6 || tpl.Idle() != 0 {
		t.Errorf("%d found it closed, %d instances are left", closed.Load(), tpl.Idle())
	}
}

// TestTheLinesOfAFailureAreKept fails with a text of several lines, as a linter or
// a compiler writes it. What could steer a terminal is still escaped.
func TestTheLinesOfAFailureAreKept(t *testing.T) {
	text := "2 problems:\n\t1. a\n\t2. \x1b[31mb\n"
	m := w.FunctionWith([]string{"ruedo.fail:iii>"}, w.CallWith(0, 3, 0, int32(len(text))), w.I32(1))
	m.Data(0, []byte(text))
	tpl := load(t, sandbox.Spec{Wasm: m.Bytes(), Limits: patient()})
	_, err := tpl.Call(t.Context(), sandbox.Request{})
	if e := refused(t, err, fault.GuestError); e.Message != "2 problems:\n\t1. a\n\t2. \\x1b[31mb" {
		t.Errorf("got %q", e.Message)
	}
}

// TestStoppedCallsSayWhereTheyWere stops a guest in a loop, in each way, and in
// its start.
func TestStoppedCallsSayWhereTheyWere(t *testing.T) {
	guest := func(start bool) []byte {
		m := w.New()
		m.Memory(1, -1)
		spin := m.Func(">", w.Loop())
		outer := m.Func(">", w.Call(spin))
		if start {
			m.Export("_initialize", outer)
		}
		m.AsFunction(m.Func(">i", w.Call(outer), w.I32(0)))
		names := w.Vec(w.Cat(w.U32(spin), w.Str("shop.(*Cart).total")), w.Cat(w.U32(outer), w.Str("main")))
		return w.Cat(m.Bytes(), w.Custom("name", w.Section(1, names)))
	}
	wall, cpu, fuel := patient(), patient(), patient()
	wall.Timeout, cpu.CPU, fuel.Fuel = 50*time.Millisecond, 20*time.Millisecond, 10_000_000
	for reason, limits := range map[fault.Reason]sandbox.Limits{fault.GuestTimeout: wall, fault.GuestCPU: cpu, fault.GuestFuel: fuel} {
		_, err := load(t, sandbox.Spec{Wasm: guest(false), Limits: limits}).Call(t.Context(), sandbox.Request{})
		e := refused(t, err, reason)
		if !strings.HasSuffix(e.Message, "; it was in shop.(*Cart).total") || !strings.HasPrefix(e.Meta["trace"], "shop.(*Cart).total()\nmain()\n") {
			t.Errorf("got %q, trace %q", e.Message, e.Meta["trace"])
		}
		_, err = newEngine(t, cached()).Load(t.Context(), sandbox.Spec{Wasm: guest(true), Limits: limits})
		if e := refused(t, err, reason); !strings.Contains(e.Message, "it was in shop.(*Cart).total") || e.Meta["trace"] == "" {
			t.Errorf("start: got %q, trace %q", e.Message, e.Meta["trace"])
		}
	}
}
