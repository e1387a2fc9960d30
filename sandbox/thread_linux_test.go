package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// threadOf runs f on a goroutine of its own and returns the thread on which it
// ended. That thread ends with the goroutine if f left them tied together.
func threadOf(f func()) int {
	tid := make(chan int)
	go func() {
		// Not the main thread, which never ends.
		for runtime.LockOSThread(); unix.Gettid() == unix.Getpid(); runtime.LockOSThread() {
			other := make(chan int)
			go func() { runtime.LockOSThread(); other <- unix.Gettid(); runtime.UnlockOSThread() }()
			<-other
			runtime.UnlockOSThread()
			runtime.Gosched()
		}
		runtime.UnlockOSThread()
		f()
		tid <- unix.Gettid()
	}()
	return <-tid
}

func lives(tid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
	return err == nil
}

// TestThreadsAreLetGo ends calls in every way and checks whether the caller's
// goroutine is still tied to its thread.
func TestThreadsAreLetGo(t *testing.T) {
	// The others must not be on this one.
	tied := threadOf(runtime.LockOSThread)
	testkit.Eventually(t, "the tied thread ends (otherwise this test proves nothing)", func() bool { return !lives(tied) })
	e := newEngine(t, cached())
	sleep := func(d time.Duration) *w.Module {
		m := w.FunctionWith([]string{wasi + ".poll_oneoff:iiii>i"}, w.CallWith(0, 0, 1024, 1, 4096))
		b := make([]byte, 48)
		for i := range 8 {
			b[24+i] = byte(d >> (8 * i))
		}
		m.Data(0, b)
		return m
	}
	starts := func(code ...[]byte) *w.Module {
		m := w.Function(w.I32(0))
		m.Export(abi.ExportInitialize, m.Func(">", code...))
		return m
	}
	recursive := w.New()
	recursive.Memory(1, -1)
	recursive.AsFunction(recursive.Func(">i", w.Call(0), w.I32(1), w.Ops(0x6a)))
	var threads sync.Map
	for name, c := range map[string]struct {
		m      *w.Module
		reason fault.Reason
		limits sandbox.Limits
		breaks bool
	}{
		"an answer":        {m: w.Function(w.I32(0))},
		"a status":         {m: w.Function(w.I32(1)), reason: fault.GuestError},
		"a trap":           {m: w.Function(w.Unreachable()), reason: fault.GuestTrap},
		"an exit":          {m: w.FunctionWith([]string{wasi + ".proc_exit:i>"}, w.CallWith(0, 1), w.I32(0)), reason: fault.GuestExit},
		"a loop":           {m: w.Function(w.Forever()), reason: fault.GuestTimeout},
		"no more CPU":      {m: w.Function(w.Forever()), reason: fault.GuestCPU, limits: sandbox.Limits{CPU: 10 * time.Millisecond}},
		"no more fuel":     {m: w.Function(w.Forever()), reason: fault.GuestFuel, limits: sandbox.Limits{Fuel: 10_000}},
		"a sleep":          {m: sleep(time.Millisecond)},
		"too long a sleep": {m: sleep(time.Hour), reason: fault.GuestTimeout},
		"yields":           {m: w.FunctionWith([]string{wasi + ".sched_yield:>i"}, w.Forever(w.Call(0), w.Drop())), reason: fault.GuestTimeout},
		"too much output":  {m: w.FunctionWith([]string{"ruedo.output_write:ii>i"}, w.Forever(w.CallWith(0, 0, 1000), w.Drop())), reason: fault.GuestOutputLimit},
		"a fault":          {m: w.FunctionWith([]string{wasi + ".clock_time_get:iIi>i"}, w.I32(0), w.I64(0), w.I32(0), w.Call(0)), reason: fault.Internal, breaks: true},
		"deep recursion":   {m: recursive, reason: fault.GuestTrap},
		"a bad start":      {m: starts(w.Unreachable()), reason: fault.GuestTrap},
		"a slow start":     {m: starts(w.Loop()), reason: fault.GuestTimeout},
	} {
		if c.limits.Timeout = time.Minute; c.reason == fault.GuestTimeout {
			c.limits.Timeout = 100 * time.Millisecond
		}
		c.limits.Memory = 1 << 20
		for _, isolation := range []sandbox.Isolation{sandbox.Pristine, sandbox.Fresh, sandbox.Shared} {
			tid := threadOf(func() {
				tpl, err := e.Load(t.Context(), sandbox.Spec{Wasm: c.m.Bytes(), Isolation: isolation, Limits: c.limits})
				if err == nil {
					if c.breaks {
						tpl.BreakClock(errors.New("broken"))
					}
					_, err = tpl.Call(t.Context(), sandbox.Request{})
				}
				if x, ok := errors.AsType[*fault.Error](err); ok != (c.reason != "") || ok && x.Reason != c.reason {
					t.Errorf("%s: got %v", name, err)
				}
			})
			threads.Store(name+", "+string(isolation), tid)
		}
	}
	threads.Range(func(name, tid any) bool {
		if !lives(tid.(int)) {
			t.Errorf("%s: the thread was not let go", name)
		}
		return true
	})
}

// TestSleepersHoldNoThread has far more guests sleep than there are threads.
func TestSleepersHoldNoThread(t *testing.T) {
	const sleepers = 200
	m := w.FunctionWith([]string{wasi + ".poll_oneoff:iiii>i", "ruedo.log:iii>"}, w.CallWith(0, 0, 1024, 1, 4096))
	b := make([]byte, 48)
	b[24+6] = 1 // most of a day
	m.Data(0, b)
	tpl := load(t, sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: time.Minute, Memory: 1 << 20}})
	before := threads(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	asleep := make(chan struct{}, sleepers)
	for range sleepers {
		wg.Go(func() {
			asleep <- struct{}{}
			res, err := tpl.Call(ctx, sandbox.Request{})
			if !errors.Is(err, context.Canceled) || res.CPU > time.Second {
				t.Errorf("got %v with %s of processor time", err, res.CPU)
			}
		})
	}
	for range sleepers {
		<-asleep
	}
	// Their goroutines wait there in a select.
	stacks := make([]byte, 4<<20)
	testkit.Eventually(t, "the guests sleep", func() bool {
		return countSleepers(string(stacks[:runtime.Stack(stacks, true)])) == sleepers
	})
	during := threads(t)
	began := time.Now()
	cancel()
	wg.Wait()
	t.Logf("%d threads before, %d with %d sleepers, all woken in %s", before, during, sleepers, time.Since(began))
	if during > before+sleepers/4 {
		t.Errorf("%d threads before, %d with %d sleepers", before, during, sleepers)
	}
}

// threads returns how many threads the process has.
func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

func countSleepers(stacks string) (n int) {
	for g := range strings.SplitSeq(stacks, "\n\n") {
		if strings.Contains(g, "[select") && strings.Contains(g, "(*Meter).Wait(") && !strings.Contains(g, "locked to thread") {
			n++
		}
	}
	return n
}

// TestStreamsHoldNoThread has many calls wait for their bodies.
func TestStreamsHoldNoThread(t *testing.T) {
	const calls = 100
	tpl := loadHTTP(t, sandbox.Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before := threads(t)
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			body, send := io.Pipe()
			defer send.Close()
			req := get("/echo")
			req.Body = body
			if _, err := tpl.Call(ctx, req); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	stacks := make([]byte, 4<<20)
	testkit.Eventually(t, "the guests wait", func() bool {
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "(*Meter).Wait(") == calls
	})
	if res, err := tpl.Call(t.Context(), get("/whole")); err != nil {
		t.Errorf("a call next to them: %v\n%s", err, res.Logs)
	}
	if during := threads(t); during > before+calls/4 {
		t.Errorf("%d threads before, %d with %d calls that wait", before, during, calls)
	}
	cancel()
	wg.Wait()
}
