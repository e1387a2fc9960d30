package sandbox_test

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// burners are guests that never return, each in another way.
func burners() map[string][]byte {
	get := func(n byte) []byte { return w.Ops(0x20, n) }
	grow := w.Cat(w.I32(900), w.Ops(0x40, 0), w.Drop())
	const size = 56 << 20

	// It calls itself twice, without a loop.
	fib := w.New()
	fib.Memory(1, -1)
	fib.Func("i>i", get(0), w.I32(2), w.Ops(0x48, 0x04, 0x40), get(0), w.Ops(0x0f, 0x0b),
		get(0), w.I32(1), w.Ops(0x6b), w.Call(0), get(0), w.I32(2), w.Ops(0x6b), w.Call(0), w.Ops(0x6a))
	fib.AsFunction(fib.Func(">i", w.I32(100), w.Call(0)))

	// The same, through a table.
	table := w.New()
	table.Memory(1, -1)
	table.Table(1)
	again := w.Cat(w.I32(0), w.Ops(0x11), w.U32(table.Type("i>i")), w.Ops(0))
	table.Func("i>i", get(0), w.I32(2), w.Ops(0x48, 0x04, 0x40), get(0), w.Ops(0x0f, 0x0b),
		get(0), w.I32(1), w.Ops(0x6b), again, get(0), w.I32(2), w.Ops(0x6b), again, w.Ops(0x6a))
	table.Element(0)
	table.AsFunction(table.Func(">i", w.I32(100), again))

	bulk := w.New()
	bulk.Memory(1, -1)
	bulk.Table(50_000)
	bulk.AsFunction(bulk.Func(">i", w.Forever(
		w.I32(0), w.I32(0), w.I32(50_000), w.Ops(0xfc, 14, 0, 0))))

	data := w.New()
	data.Memory(1000, -1)
	passive := data.PassiveData(make([]byte, 1<<20))
	data.AsFunction(data.Func(">i", w.Forever(w.I32(0), w.I32(0), w.I32(1<<20), w.Ops(0xfc, 8), w.U32(passive), w.Ops(0))))

	return map[string][]byte{
		"loop":       w.Function(w.Forever()).Bytes(),
		"inner loop": w.Function(w.Forever(w.I32(1000), w.Ops(0x1a, 0x02, 0x40), w.Loop(w.I32(0), w.Ops(0x0d, 1)), w.Ops(0x0b))).Bytes(),
		"division":   w.Function(w.Forever(slices.Repeat(w.Cat(w.I64(-1), w.I64(3), w.Ops(0x7f, 0x1a)), 200))).Bytes(),
		"square roots": w.Function(w.Forever(slices.Repeat(w.Cat([]byte{0x44, 1, 2, 3, 4, 5, 6, 7, 8},
			slices.Repeat(w.Ops(0x9f), 20), w.Drop()), 20))).Bytes(),
		"recursion":                fib.Bytes(),
		"recursion by a table":     table.Bytes(),
		"br_table":                 w.Function(w.Forever(w.Ops(0x02, 0x40), w.I32(7), w.Ops(0x0e, 2, 0, 1, 1, 0x0b))).Bytes(),
		"memory.fill":              w.Function(grow, w.Forever(w.I32(0), w.I32(7), w.I32(size), w.Ops(0xfc, 11, 0))).Bytes(),
		"memory.copy":              w.Function(grow, w.Forever(w.I32(1), w.I32(0), w.I32(size), w.Ops(0xfc, 10, 0, 0))).Bytes(),
		"memory.init":              data.Bytes(),
		"table.copy":               bulk.Bytes(),
		"memory.grow by nothing":   w.Function(w.Forever(w.I32(0), w.Ops(0x40, 0, 0x1a))).Bytes(),
		"memory.grow that fails":   w.Function(w.Forever(w.I32(60_000), w.Ops(0x40, 0, 0x1a))).Bytes(),
		"host calls":               w.FunctionWith([]string{wasi + ".clock_time_get:iIi>i"}, w.Forever(w.I32(1), w.I64(0), w.I32(0), w.Call(0), w.Drop())).Bytes(),
		"host calls that are dear": w.FunctionWith([]string{wasi + ".random_get:ii>i"}, grow, w.Forever(w.CallWith(0, 0, size), w.Drop())).Bytes(),
	}
}

// calm tries up to three times whether something is fast enough, because the
// machine can be busy with other things.
func calm(t *testing.T, try func() (worst time.Duration), limit time.Duration) {
	t.Helper()
	var got []time.Duration
	for range 3 {
		worst := try()
		if worst <= limit || t.Failed() {
			return
		}
		got = append(got, worst)
	}
	t.Errorf("it took %v too long, the limit is %s", got, limit)
}

// TestStoppedInTime runs four of each burner in parallel until their deadline.
func TestStoppedInTime(t *testing.T) {
	e := newEngine(t, cached())
	const limit = 100 * time.Millisecond
	for name, wasm := range burners() {
		t.Run(name, func(t *testing.T) {
			tpl := loadIn(t, e, sandbox.Spec{Wasm: wasm, Limits: sandbox.Limits{Timeout: limit, CPU: time.Minute, Memory: 64 << 20}})
			// The design allows 50 ms.
			calm(t, func() time.Duration {
				late := stopFour(t, tpl, limit)
				t.Logf("late by %s to %s", late[0], late[len(late)-1])
				if late[0] < 0 {
					t.Errorf("early by %s", -late[0])
				}
				return late[len(late)-1]
			}, 250*time.Millisecond)
		})
	}
}

// stopFour returns how late four parallel calls ended, sorted.
func stopFour(t *testing.T, tpl *sandbox.Template, limit time.Duration) (late []time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			res, err := tpl.Call(t.Context(), sandbox.Request{})
			if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != fault.GuestTimeout {
				t.Errorf("got %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			late = append(late, res.Duration-limit)
		})
	}
	wg.Wait()
	slices.Sort(late)
	return late
}

// TestTailCalls repeats forever without a loop, and without a stack that could
// overflow.
func TestTailCalls(t *testing.T) {
	m := w.New()
	m.Memory(1, -1)
	m.AsFunction(m.Func(">i", w.Ops(0x12, 0)))
	tpl := load(t, sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: 100 * time.Millisecond}})
	for range 2 {
		_, err := tpl.Call(t.Context(), sandbox.Request{})
		refused(t, err, fault.GuestTimeout)
	}
}

// counter loops as often as the input says, with calls and memory.fill in the
// loop.
func counter() []byte {
	m := w.New()
	read := m.Import("ruedo", "input_read", "ii>i")
	m.Memory(2, -1)
	small := m.Func("i>i", w.Ops(0x20, 0), w.I32(3), w.Ops(0x6c))
	larger := m.Func("i>i", w.Ops(0x20, 0), w.Call(small), w.Call(small), w.Ops(0x20, 0), w.Ops(0x73))
	m.AsFunction(m.FuncLocals(">i", w.Vec(w.Cat(w.U32(1), w.Ops(0x7f))),
		w.CallWith(read, 0, 4), w.Drop(), w.I32(0), w.Ops(0x28, 2, 0, 0x21, 0),
		w.Ops(0x02, 0x40, 0x03, 0x40, 0x20, 0, 0x45, 0x0d, 1),
		w.I32(4), w.Ops(0x20, 0), w.Call(larger), w.Ops(0x36, 2, 0),
		w.I32(4096), w.I32(0), w.Ops(0x20, 0), w.I32(1023), w.Ops(0x71, 0xfc, 11, 0),
		w.Ops(0x20, 0), w.I32(1), w.Ops(0x6b, 0x21, 0), w.Ops(0x0c, 0, 0x0b, 0x0b),
		w.I32(0)))
	return m.Bytes()
}

// TestFuel checks that the same work takes the same fuel, whatever preceded it
// and in whatever slices the fuel was given, and that its limit is exact.
func TestFuel(t *testing.T) {
	e := newEngine(t, cached())
	spec := sandbox.Spec{Wasm: counter()}
	tpl := loadIn(t, e, spec)
	spec.Isolation = sandbox.Fresh
	fresh := loadIn(t, e, spec)
	spec.Isolation = ""
	call := func(tpl *sandbox.Template, n int) (uint64, error) {
		res, err := tpl.Call(t.Context(), sandbox.Request{Input: binary.LittleEndian.AppendUint32(nil, uint32(n))})
		return res.Fuel, err
	}
	last := uint64(0)
	for _, n := range []int{0, 1, 2, 10, 100, 1000, 30_000} {
		want, err := call(tpl, n)
		if err != nil {
			t.Fatal(err)
		}
		if want <= last && n > 0 {
			t.Errorf("%d rounds cost %d, fewer cost %d", n, want, last)
		}
		last = want
		for _, tpl := range []*sandbox.Template{tpl, tpl, fresh} {
			if got, err := call(tpl, n); err != nil || got != want {
				t.Errorf("%d rounds: got %d, %v, want %d", n, got, err, want)
			}
		}
		if want == 0 {
			continue
		}
		// Exactly as much as it needs, and one unit less.
		spec.Limits.Fuel = want
		if got, err := call(loadIn(t, e, spec), n); err != nil || got != want {
			t.Errorf("%d rounds, limit %d: got %d, %v", n, want, got, err)
		}
		for _, limit := range []uint64{want - 1, want/2 + 1} {
			if limit >= want {
				continue
			}
			spec.Limits.Fuel = limit
			less := loadIn(t, e, spec)
			stopped := uint64(0)
			for range 3 {
				got, err := call(less, n)
				if x := refused(t, err, fault.GuestFuel); got <= limit || stopped != 0 && got != stopped {
					t.Errorf("%d rounds, limit %d: stopped after %d, before after %d: %+v", n, limit, got, stopped, x)
				}
				stopped = got
			}
		}
		spec.Limits.Fuel = 0
	}
	t.Logf("30,000 rounds cost %d", last)
}

// TestFuelBehindTheLastTest has guests that exceed their limit by what they did
// before they returned, exited or trapped.
func TestFuelBehindTheLastTest(t *testing.T) {
	e := newEngine(t, cached())
	work := slices.Repeat(w.Cat(w.I32(1), w.Drop()), 100)
	exits := w.Command([]string{wasi + ".proc_exit:i>"}, w.Call(2), w.CallWith(0, 0))
	exits.Func(">", work)
	for name, spec := range map[string]sandbox.Spec{
		"answer":            {Wasm: w.Function(work, w.I32(0)).Bytes()},
		"exit of a command": {Wasm: exits.Bytes()},
		"end of a command":  {Wasm: w.Command(nil, work).Bytes()},
	} {
		res, err := loadIn(t, e, spec).Call(t.Context(), sandbox.Request{})
		if err != nil || res.Fuel == 0 {
			t.Fatalf("%s: %d, %v", name, res.Fuel, err)
		}
		for _, less := range []uint64{0, 1} {
			spec.Limits.Fuel = res.Fuel - less
			_, err := loadIn(t, e, spec).Call(t.Context(), sandbox.Request{})
			if less == 0 && err != nil {
				t.Errorf("%s: as much as it needs is too little: %v", name, err)
			} else if less > 0 {
				refused(t, err, fault.GuestFuel)
			}
		}
	}
}

// TestCPU checks that sleep is not counted, and computing is.
func TestCPU(t *testing.T) {
	e := newEngine(t, cached())
	limits := sandbox.Limits{CPU: 50 * time.Millisecond, Timeout: 30 * time.Second}
	nap := binary.LittleEndian.AppendUint64(make([]byte, 24), uint64(300*time.Millisecond))
	m := w.FunctionWith([]string{wasi + ".poll_oneoff:iiii>i"}, w.CallWith(0, 0, 1024, 1, 4096))
	m.Data(0, append(nap, make([]byte, 16)...))
	res, err := loadIn(t, e, sandbox.Spec{Wasm: m.Bytes(), Limits: limits}).Call(t.Context(), sandbox.Request{})
	if err != nil || res.Duration < 300*time.Millisecond || res.CPU > limits.CPU {
		t.Errorf("sleeping: %v after %s with %s of processor time", err, res.Duration, res.CPU)
	}
	tpl := loadIn(t, e, sandbox.Spec{Wasm: w.Function(w.Forever()).Bytes(), Limits: limits})
	var wg sync.WaitGroup
	for range 4 { // more than there are processors, so that they wait for each other
		wg.Go(func() {
			res, err := tpl.Call(t.Context(), sandbox.Request{})
			if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != fault.GuestCPU || e.Meta["limit_ms"] != "50" {
				t.Errorf("computing: got %v", err)
			}
			if res.CPU < limits.CPU || res.CPU > 2*limits.CPU {
				t.Errorf("computing: stopped after %s of processor time", res.CPU)
			}
		})
	}
	wg.Wait()
}

// TestCallersDeadline stops guests at their caller's deadline, although its context
// has not noticed yet: on a busy machine its timer is late.
func TestCallersDeadline(t *testing.T) {
	e := newEngine(t, cached())
	sleeper := w.FunctionWith([]string{wasi + ".poll_oneoff:iiii>i"}, w.CallWith(0, 0, 1024, 1, 4096))
	sleeper.Data(0, append(binary.LittleEndian.AppendUint64(make([]byte, 24), uint64(time.Hour)), make([]byte, 16)...))
	for name, m := range map[string]*w.Module{"it computes": w.Function(w.Forever()), "it sleeps": sleeper} {
		tpl := loadIn(t, e, sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: time.Minute, CPU: time.Minute}})
		ctx := unaware{t.Context(), time.Now().Add(50 * time.Millisecond)}
		_, err := tpl.Call(ctx, sandbox.Request{})
		if e := refused(t, err, fault.GuestTimeout); e.Meta["deadline"] != "caller" || time.Now().Before(ctx.deadline) {
			t.Errorf("%s: got %+v, %s after the deadline", name, e, time.Since(ctx.deadline))
		}
	}
}

// unaware is a context that does not end with its deadline.
type unaware struct {
	context.Context
	deadline time.Time
}

func (c unaware) Deadline() (time.Time, bool) { return c.deadline, true }

// TestNeighbours calls a trivial guest and the garbage collector while four
// others burn: neither waits until they are done.
func TestNeighbours(t *testing.T) {
	e := newEngine(t, cached())
	const window = 500 * time.Millisecond
	burner := loadIn(t, e, sandbox.Spec{Wasm: burners()["loop"], Limits: sandbox.Limits{Timeout: time.Minute}})
	trivial := loadIn(t, e, sandbox.Spec{Wasm: w.Function(w.I32(0)).Bytes()})
	measure := func(f func()) (p50, p99, slowest time.Duration) {
		var took []time.Duration
		for end := time.Now().Add(window); time.Now().Before(end); {
			began := time.Now()
			f()
			took = append(took, time.Since(began))
			runtime.Gosched()
		}
		slices.Sort(took)
		return took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	}
	call := func() {
		if _, err := trivial.Call(t.Context(), sandbox.Request{}); err != nil {
			t.Error(err)
		}
	}
	p50, p99, slowest := measure(call)
	t.Logf("call alone: %s, p99 %s, slowest %s", p50, p99, slowest)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := burner.Call(ctx, sandbox.Request{}); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	for what, f := range map[string]func(){"call": call, "garbage collection": runtime.GC} {
		calm(t, func() time.Duration {
			p50, p99, slowest := measure(f)
			t.Logf("%s beside four burners: %s, p99 %s, slowest %s", what, p50, p99, slowest)
			return slowest
		}, window/2)
	}
	cancel()
	wg.Wait()
}
