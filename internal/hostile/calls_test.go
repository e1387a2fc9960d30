//go:build hostile

package hostile

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

const (
	// limitOf is the timeout of most hostile services.
	limitOf = 200 * time.Millisecond
	// late is how long after its deadline a guest can be stopped.
	late = 50 * time.Millisecond
)

// stoppedAt calls a service on both runners at the same time and checks that
// each call was stopped by its deadline, and in time. By the runner's clock
// that holds for both calls, by the caller's for the faster one.
func (b *bout) stoppedAt(service string, limit time.Duration) {
	var mu sync.Mutex
	var callers []time.Duration
	var wg sync.WaitGroup
	for range runnerCount {
		wg.Go(func() {
			began := time.Now()
			_, err := b.call(service, nil)
			took := time.Since(began)
			b.check("call", err, expect{reason: fault.GuestTimeout, text: []string{limit.String()},
				meta: map[string]string{"limit_ms": fmt.Sprint(limit.Milliseconds()), "decorator": service}})
			info := client.InfoOf(err)
			if info == nil {
				b.Errorf("the failed call has no info")
				return
			}
			b.bounded("stopping the guest, by the runner's clock,", info.GetDuration().AsDuration(), limit+late)
			mu.Lock()
			defer mu.Unlock()
			callers = append(callers, took)
		})
	}
	wg.Wait()
	if len(callers) > 0 {
		b.bounded("stopping the guest, by the caller's clock,", slices.Min(callers), limit+late)
	}
}

// services is a row whose moves each call a service with a time limit.
func services(number int, name string, limit time.Duration, list []hostileService) *row {
	r := &row{number: number, name: name, peakCore: 64 << 20, setup: func(b *bout) {
		for _, s := range list {
			b.mustPublish(b.service(s.name), s.wasm, limit)
		}
	}}
	for _, s := range list {
		r.moves = append(r.moves, move{s.name, func(b *bout) { s.do(b, b.service(s.name)) }})
	}
	return r
}

type hostileService struct {
	name string
	wasm []byte
	do   func(b *bout, service string)
}

// answers is a service that must fail as described, and quickly.
func answers(name string, m *w.Module, want expect) hostileService {
	return hostileService{name, m.Bytes(), func(b *bout, service string) {
		began := time.Now()
		_, err := b.call(service, nil)
		b.check("call", err, want)
		b.bounded("the answer", time.Since(began), 2*time.Second)
	}}
}

// loopRow is row 14.
func loopRow() *row {
	stopped := func(name string, m *w.Module) hostileService {
		return hostileService{name, m.Bytes(), func(b *bout, service string) { b.stoppedAt(service, limitOf) }}
	}
	// f(n) = f(n-1) + f(n-1), with a depth that fits any stack.
	twice := w.New()
	twice.Memory(1, -1)
	f := uint32(0)
	twice.FuncLocals("i>i", []byte{0}, localGet(0), w.Ops(0x45), when(w.I32(1), opReturn),
		localGet(0), w.I32(-1), opI32Add, w.Call(f), localGet(0), w.I32(-1), opI32Add, w.Call(f), opI32Add)
	twice.AsFunction(twice.Func(">i", w.I32(60), w.Call(f)))
	nestedLoops := w.New()
	nestedLoops.Memory(1, -1)
	nestedLoops.AsFunction(nestedLoops.FuncLocals(">i", locals(1), w.Ops(0x03, 0x40), w.I32(0), localSet(0),
		w.Ops(0x03, 0x40), localGet(0), w.I32(1), opI32Add, localSet(0), localGet(0), w.I32(1000), opI32LtU, w.Ops(0x0d, 0), opEnd,
		w.Ops(0x0c, 0), opEnd, w.Unreachable()))
	command := w.Command(nil, w.Loop())
	return services(14, "endless loop in a call", limitOf, []hostileService{
		stopped("loop", w.Function(w.Forever())),
		stopped("nested-loops", nestedLoops),
		stopped("exponential-recursion", twice),
		stopped("fill", w.Function(w.I32(1000), opMemoryGrow, w.Drop(), w.Forever(w.I32(0), w.I32(7), w.I32(60<<20), opMemoryFill))),
		stopped("a-host-call-each-time", w.FunctionWith([]string{schedYield}, w.Forever(w.Call(0), w.Drop()))),
		stopped("command", command),
	})
}

// manyLoopsRow is row 14 with as many loops at the same time as the runners let
// in, and as many again in the queue. Another service must still get the
// processors, the network and a slot.
func manyLoopsRow() *row {
	loops := 2 * runnerCount * 2 * runtime.GOMAXPROCS(0)
	r := services(14, "endless loops in all slots", limitOf, []hostileService{
		{"loop", w.Function(w.Forever()).Bytes(), func(b *bout, service string) {
			var wg sync.WaitGroup
			for range loops {
				wg.Go(func() {
					_, err := b.call(service, nil)
					b.check("call", err, expect{reason: fault.GuestTimeout, or: fault.Deadline})
				})
			}
			wg.Wait()
		}},
	})
	r.atOnce = loops / 2
	return r
}

// startRow is row 15: guests that do not start. Publishing must fail, and a
// guest that starts only while it is published must not hang later.
func startRow() *row {
	builds := []struct {
		name string
		wasm []byte
	}{
		{"start-section", guest(func(m *w.Module) { m.Start(m.Func(">", w.Loop())) })},
		{"initialize", guest(func(m *w.Module) { m.Export(abi.ExportInitialize, m.Func(">", w.Loop())) })},
		{"warm", guest(func(m *w.Module) { m.Export(abi.ExportWarm, m.Func(">", w.Loop())) })},
	}
	var moves []move
	for _, c := range builds {
		moves = append(moves, move{c.name, func(b *bout) {
			began := time.Now()
			err := b.publish(b.ctx, b.service(c.name), b.unique(c.wasm), timeout(limitOf))
			b.check("publish", err, expect{reason: fault.GuestTimeout, text: []string{limitOf.String(), "cannot start"}})
			b.bounded("the answer", time.Since(began), limitOf+1500*time.Millisecond)
			_, err = b.call(b.service(c.name), nil)
			b.check("call", err, expect{reason: fault.ServiceNotFound})
		}})
	}
	moves = append(moves, move{"a start that hangs only later", func(b *bout) {
		// Its _initialize loops once the clock has passed an instant after the
		// publish. Pristine instances are started once, so calls can succeed; but no
		// call may last.
		service := b.service("later")
		if err := b.publish(b.ctx, service, b.unique(hangsAfter(time.Now().Add(1500*time.Millisecond))), timeout(limitOf)); err != nil {
			b.Errorf("publish: %v", err)
			return
		}
		for at := time.Now(); time.Since(at) < 3*time.Second; time.Sleep(100 * time.Millisecond) {
			_, err := b.call(service, nil)
			if err == nil {
				continue
			}
			b.check("call", err, expect{reason: fault.GuestTimeout, text: []string{limitOf.String()}})
			b.bounded("stopping the guest", client.InfoOf(err).GetDuration().AsDuration(), limitOf+late)
		}
	}})
	return &row{number: 15, name: "endless loop in start, _initialize, ruedo_warm", moves: moves, peakCore: 64 << 20}
}

// hangsAfter is a guest whose _initialize loops after an instant.
func hangsAfter(at time.Time) []byte {
	m := w.New()
	m.Import("wasi_snapshot_preview1", "clock_time_get", "iIi>i")
	m.Memory(1, -1)
	m.AsFunction(m.Func(">i", w.I32(0)))
	now := w.Cat(w.I32(0), w.I64(1), w.I32(64), w.Call(0), w.Drop(), w.I32(64), w.Ops(0x29, 0, 0))
	m.Export(abi.ExportInitialize, m.Func(">", now, w.I64(at.UnixNano()), w.Ops(0x55), when(w.Loop())))
	return m.Bytes()
}

// recursionRow is row 16.
func recursionRow() *row {
	overflow := expect{reason: fault.GuestTrap, text: []string{"stack overflow", "32 MiB"}}
	simple := w.Function(w.Call(0), w.I32(1), opI32Add)
	mutual := w.New()
	mutual.Memory(1, -1)
	mutual.Func(">i", w.Call(1), w.I32(1), opI32Add)
	mutual.AsFunction(mutual.Func(">i", w.Call(0), w.I32(1), opI32Add))
	wide := w.New()
	wide.Memory(1, -1)
	var use [][]byte
	for i := range uint32(1000) {
		use = append(use, localGet(i), w.Call(0), opI32Add, localSet(i))
	}
	use = append(use, localGet(999))
	wide.AsFunction(wide.FuncLocals(">i", locals(1000), use...))
	indirect := w.New()
	indirect.Memory(1, -1)
	indirect.Table(1)
	i := indirect.Func(">i", w.I32(0), w.Ops(0x11, 0, 0), w.I32(1), opI32Add)
	indirect.Element(i)
	indirect.AsFunction(i)
	slow := w.New() // a microsecond per frame
	slow.Memory(1, -1)
	slow.AsFunction(slow.FuncLocals(">i", locals(1),
		w.Ops(0x03, 0x40), localGet(0), w.I32(1), opI32Add, localSet(0), localGet(0), w.I32(2000), opI32LtU, w.Ops(0x0d, 0), opEnd,
		w.Call(0), w.I32(1), opI32Add))
	r := services(16, "endless recursion", 2*time.Second, []hostileService{
		answers("simple", simple, overflow),
		answers("mutual", mutual, overflow),
		answers("wide-frames", wide, overflow),
		answers("indirect", indirect, overflow),
		{"stopped-midway", slow.Bytes(), func(b *bout, service string) {
			// Its caller exits when the stack is half full; that stack must be returned,
			// too.
			ctx, cancel := context.WithTimeout(b.ctx, 40*time.Millisecond)
			defer cancel()
			if _, err := b.client.Call(ctx, service, nil); err == nil {
				b.Errorf("an endless recursion answered")
			}
		}},
		{"two-at-once", simple.Bytes(), func(b *bout, service string) {
			var wg sync.WaitGroup
			for range 2 * runnerCount {
				wg.Go(func() {
					_, err := b.call(service, nil)
					b.check("call", err, overflow)
				})
			}
			wg.Wait()
		}},
	})
	r.atOnce = 2 * runnerCount // by "two-at-once"
	return r
}

// sleepRow is row 17: an hour of sleep by each clock.
func sleepRow() *row {
	clock := func(id uint32, timeout uint64, flags uint16) []byte {
		s := make([]byte, 48)
		binary.LittleEndian.PutUint32(s[16:], id)
		binary.LittleEndian.PutUint64(s[24:], timeout)
		binary.LittleEndian.PutUint16(s[40:], flags)
		return s
	}
	sleeps := func(name string, sub []byte) hostileService {
		m := w.FunctionWith([]string{pollOneoff}, w.CallWith(0, 0, 1024, 1, 4096), w.Drop(), w.I32(0))
		m.Data(0, sub)
		return hostileService{name, m.Bytes(), func(b *bout, service string) { b.stoppedAt(service, limitOf) }}
	}
	return services(17, "poll_oneoff for an hour", limitOf, []hostileService{
		sleeps("monotonic", clock(1, uint64(time.Hour), 0)),
		sleeps("for-ever", clock(0, math.MaxUint64, 0)),
		sleeps("until", clock(0, uint64(time.Now().Add(24*time.Hour).UnixNano()), 1)),
	})
}

// floodRow is row 19: endless host calls, and huge arguments.
func floodRow() *row {
	// A flood of cheap calls ends by the limit on calls, one of expensive calls by
	// the limit on their time, which is 10 s.
	flood := func(name string, cheap bool, imports []string, code ...[]byte) hostileService {
		want := expect{reason: "HOST_CALL_LIMIT", code: fault.CodeResourceExhausted, text: []string{"limit"}}
		if !cheap {
			want.or = fault.GuestTimeout
		}
		return hostileService{name, w.FunctionWith(imports, w.Forever(code...)).Bytes(), func(b *bout, service string) {
			began := time.Now()
			_, err := b.call(service, nil)
			b.check("call", err, want)
			b.bounded("the answer", time.Since(began), 10*time.Second+late)
		}}
	}
	r := services(19, "random_get of gigabytes; host calls without end", 10*time.Second, []hostileService{
		// Outside the guest's memory: an errno, which the guest returns.
		answers("random-4-gb", w.FunctionWith([]string{randomGet}, w.CallWith(0, 0, -1)), expect{reason: fault.GuestError, text: []string{"21"}}),
		answers("random-past-the-end", w.FunctionWith([]string{randomGet}, w.CallWith(0, 65535, 2)), expect{reason: fault.GuestError, text: []string{"21"}}),
		flood("yields", false, []string{schedYield}, w.Call(0), w.Drop()),
		flood("clocks", false, []string{clockTime}, w.I32(0), w.I64(0), w.I32(0), w.Call(0), w.Drop()),
		flood("empty-logs", true, []string{hostLog}, w.CallWith(0, 0, 0, 0)),
		flood("empty-reads", true, []string{inputRead}, w.CallWith(0, 0, 0), w.Drop()),
	})
	// All of a large memory, repeatedly: that takes time, and is stopped by the
	// deadline.
	all := w.FunctionWith([]string{randomGet}, w.I32(1500), opMemoryGrow, w.Drop(), w.Forever(w.CallWith(0, 0, 90<<20), w.Drop()))
	setup := r.setup
	r.setup = func(b *bout) {
		setup(b)
		b.mustPublish(b.service("random-90-mb"), all.Bytes(), limitOf)
	}
	r.moves = append(r.moves, move{"random-90-mb", func(b *bout) { b.stoppedAt(b.service("random-90-mb"), limitOf) }})
	return r
}

// outputRow is row 21.
func outputRow() *row {
	const limit = 1 << 20
	tooMuch := expect{reason: fault.GuestOutputLimit, text: []string{"1 MiB"}, meta: map[string]string{"limit": fmt.Sprint(limit)}}
	// One vector at 0: a page.
	vector := w.Cat(store(0, 0), store(4, 65536))
	// 1 GB in writes of 64 KiB, whose results the guest ignores.
	gigabyte := w.New()
	gigabyte.Import("ruedo", "output_write", "ii>i")
	gigabyte.Memory(1, -1)
	gigabyte.AsFunction(gigabyte.FuncLocals(">i", locals(1), w.Ops(0x03, 0x40), w.CallWith(0, 0, 65536), w.Drop(),
		localGet(0), w.I32(1), opI32Add, localSet(0), localGet(0), w.I32(16384), opI32LtU, w.Ops(0x0d, 0), opEnd, w.I32(0)))
	list := []hostileService{
		answers("a-gigabyte", gigabyte, tooMuch),
		answers("without-end", w.FunctionWith([]string{outputWrite}, w.Forever(w.CallWith(0, 0, 1000), w.Drop())), tooMuch),
		answers("at-once", w.FunctionWith([]string{outputWrite}, w.I32(32), opMemoryGrow, w.Drop(), w.CallWith(0, 0, 2<<20)), tooMuch),
		answers("a-command", w.Command([]string{fdWrite}, vector, w.Loop(w.CallWith(0, 1, 0, 1, 100), w.Drop())), tooMuch),
		{"stdout-never-closed", w.Command([]string{fdWrite}, vector, w.CallWith(0, 1, 0, 1, 100), w.Drop(), w.Loop()).Bytes(), func(b *bout, service string) {
			_, err := b.call(service, nil)
			b.check("call", err, expect{reason: fault.GuestTimeout, text: []string{limitOf.String()}})
			b.bounded("stopping the guest", client.InfoOf(err).GetDuration().AsDuration(), limitOf+late)
		}},
	}
	r := services(21, "1 GB of output; stdout never closed", time.Second, list)
	r.setup = func(b *bout) {
		for _, s := range list {
			l := timeout(limitOf)
			if s.name == "a-gigabyte" {
				l = timeout(5 * time.Second)
			}
			l.OutputBytes = limit
			if err := b.publish(b.ctx, b.service(s.name), s.wasm, l); err != nil {
				b.Errorf("publish %s: %v", s.name, err)
			}
		}
	}
	r.peakRunner = 96 << 20
	return r
}

// endRow is row 22: each way to end has an answer of its own.
func endRow() *row {
	exit := func(code int32) []byte { return w.CallWith(0, code) }
	exited := func(code string) expect {
		return expect{reason: fault.GuestExit, text: []string{"code " + code}, meta: map[string]string{"exit_code": code}}
	}
	trapped := func(kind string) expect {
		return expect{reason: fault.GuestTrap, text: []string{kind}, meta: map[string]string{"kind": kind}}
	}
	indirect := func(code ...[]byte) *w.Module {
		m := w.New()
		m.Memory(1, -1)
		m.Table(2)
		m.AsFunction(m.Func(">i", code...))
		m.Element(m.Func("i>i", w.I32(0)))
		return m
	}
	zero := w.I32(0)
	list := []hostileService{
		{"command-exit-0", w.Command([]string{procExit}, exit(0)).Bytes(), func(b *bout, service string) {
			if _, err := b.call(service, nil); err != nil {
				b.Errorf("call: %v", err)
			}
		}},
		answers("command-exit-1", w.Command([]string{procExit}, exit(1)), exited("1")),
		answers("command-exit-255", w.Command([]string{procExit}, exit(255)), exited("255")),
		// The exit codes that the runtime itself uses for a call that was stopped.
		answers("command-exit-4026531839", w.Command([]string{procExit}, exit(-0x10000001)), exited("4026531839")),
		answers("command-exit-4026531840", w.Command([]string{procExit}, exit(-0x10000000)), exited("4026531840")),
		answers("function-exit-0", w.FunctionWith([]string{procExit}, exit(0), zero), exited("0")),
		answers("function-exit-1", w.FunctionWith([]string{procExit}, exit(1), zero), exited("1")),
		answers("function-exit-255", w.FunctionWith([]string{procExit}, exit(255), zero), exited("255")),
		answers("function-returns-9", w.Function(w.I32(9)), expect{reason: fault.GuestError, text: []string{"9"}, meta: map[string]string{"status": "9"}}),
		answers("unreachable", w.Function(w.Unreachable()), trapped("unreachable")),
		answers("division-by-zero", w.Function(w.I32(1), zero, w.Ops(0x6d)), trapped("integer divide by zero")),
		answers("division-overflow", w.Function(w.I32(math.MinInt32), w.I32(-1), w.Ops(0x6d)), trapped("integer overflow")),
		answers("missing-element", indirect(zero, w.I32(1), w.Ops(0x11, 2, 0)), trapped("invalid table access")),
		answers("another-type", indirect(zero, w.Ops(0x11, 0, 0)), trapped("indirect call type mismatch")),
		answers("out-of-bounds", w.Function(w.I32(-4), opI32Load), trapped("out of bounds memory access")),
	}
	r := services(22, "exits, unreachable, division by zero, bad indirect calls", time.Second, list)
	r.peakRunner = 64 << 20
	return r
}
