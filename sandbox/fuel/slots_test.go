package fuel_test

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sandbox/fuel"
)

// slotsOf returns an engine whose slots the test can see.
func slotsOf(t *testing.T) (*sandbox.Engine, *fuel.CPUSlots) {
	slots := fuel.NewCPUSlots()
	t.Cleanup(func() {
		if taken, guests := slots.State(); taken != 0 || guests != 0 {
			t.Errorf("at the end %d slots are taken, for %d guests", taken, guests)
		}
	})
	return newEngine(t, sandbox.Config{CPUSlots: slots}), slots
}

// TestGuestsTakeTurns runs many more looping guests than there are processors.
// All of them use up their processor time, so each one got its turns.
func TestGuestsTakeTurns(t *testing.T) {
	engine, _ := slotsOf(t)
	tpl := loadIn(t, engine, sandbox.Spec{
		Wasm:   w.Function(w.Forever()).Bytes(),
		Limits: sandbox.Limits{CPU: 20 * time.Millisecond, Timeout: time.Minute},
	})
	var wg sync.WaitGroup
	for range 8 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			if _, err := tpl.Call(t.Context(), sandbox.Request{}); err == nil || err.(*fault.Error).Reason != fault.GuestCPU {
				t.Errorf("a loop ended with %v", err)
			}
		})
	}
	wg.Wait()
}

// TestWaitingForATurnEndsWithTheCall has others hold all slots forever.
func TestWaitingForATurnEndsWithTheCall(t *testing.T) {
	engine, slots := slotsOf(t)
	loop := w.Function(w.Forever()).Bytes()
	late := loadIn(t, engine, sandbox.Spec{Wasm: loop, Limits: sandbox.Limits{Timeout: 50 * time.Millisecond}})
	patient := loadIn(t, engine, sandbox.Spec{Wasm: loop, Limits: sandbox.Limits{Timeout: time.Minute}})
	quick := loadIn(t, engine, sandbox.Spec{Wasm: w.Function(w.I32(0)).Bytes()})
	release := slots.HoldAll()
	if _, err := quick.Call(t.Context(), sandbox.Request{}); err != nil {
		t.Errorf("a call that needs no turn: %v", err)
	}
	_, err := late.Call(t.Context(), sandbox.Request{})
	refused(t, err, fault.GuestTimeout)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := patient.Call(ctx, sandbox.Request{})
		done <- err
	}()
	testkit.Eventually(t, "the guest waits for a turn", func() bool { _, guests := slots.State(); return guests == 1 })
	cancel()
	err = <-done
	refused(t, err, fault.Canceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	_, err = late.Call(t.Context(), sandbox.Request{})
	refused(t, err, fault.GuestTimeout)
}

// TestSleepersHoldNoTurn has as many guests as there are slots compute and then
// sleep; others compute meanwhile.
func TestSleepersHoldNoTurn(t *testing.T) {
	engine, slots := slotsOf(t)
	compute := w.Cat(w.Ops(0x03, 0x40), w.Ops(0x20, 0), w.I32(1), w.Ops(0x6a), w.Ops(0x22, 0), w.I32(2_000_000), w.Ops(0x49), w.Ops(0x0d, 0), w.Ops(0x0b))
	m := w.New()
	f := m.Import("wasi_snapshot_preview1", "poll_oneoff", "iiii>i")
	m.Memory(1, -1)
	hour := make([]byte, 48) // on the monotonic clock
	hour[16] = 1
	hour[30] = 0x10 // 2^52 ns or so
	m.Data(0, hour)
	m.Export("ruedo_http", m.Func(">"))
	m.AsFunction(m.FuncLocals(">i", []byte{1, 1, 0x7f}, compute, w.CallWith(f, 0, 1024, 1, 4096), w.Drop(), w.I32(0)))
	sleeper := loadIn(t, engine, sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: time.Minute}})
	worker := loadIn(t, engine, sandbox.Spec{Wasm: w.Function(w.Forever()).Bytes(), Limits: sandbox.Limits{CPU: 5 * time.Millisecond, Timeout: time.Minute}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	sleepers := runtime.GOMAXPROCS(0)
	asleep := make(pauses)
	for range sleepers {
		wg.Go(func() { _, _ = sleeper.Call(ctx, sandbox.Request{Turn: asleep}) })
	}
	for range sleepers {
		<-asleep
	}
	if taken, guests := slots.State(); taken != 0 || guests != 0 {
		t.Errorf("%d slots are taken, %d guests want one, although all sleep", taken, guests)
	}
	_, err := worker.Call(t.Context(), sandbox.Request{})
	refused(t, err, fault.GuestCPU)
	cancel()
	wg.Wait()
}

// pauses is a turn that says when it is released.
type pauses chan struct{}

func (p pauses) Pause() { p <- struct{}{} }

func (p pauses) Resume(context.Context) error { return nil }

// turn notes what is done with it.
type turn struct {
	paused, resumed int
	has             bool
	refuse          error // of Resume
}

func (t *turn) Pause() {
	if t.has {
		t.paused++
		t.has = false
	}
}

func (t *turn) Resume(ctx context.Context) error {
	if t.refuse != nil {
		<-ctx.Done()
		return ctx.Err()
	}
	t.resumed++
	t.has = true
	return nil
}

// TestAWaitGivesTheTurnBack has guests wait for a short and for a long time. One
// that does not get its turn again ends with its time or its caller.
func TestAWaitGivesTheTurnBack(t *testing.T) {
	engine, _ := slotsOf(t)
	m := w.New()
	f := m.Import("wasi_snapshot_preview1", "poll_oneoff", "iiii>i")
	head := m.Import("ruedo", "input_read", "ii>i")
	m.Memory(1, -1)
	clock := make([]byte, 48) // on the monotonic clock
	clock[16] = 1
	m.Data(0, clock)
	m.Export("ruedo_http", m.Func(">"))
	m.AsFunction(m.Func(">i", w.CallWith(head, 24, 8), w.Drop(), w.CallWith(f, 0, 1024, 1, 4096), w.Drop(), w.I32(0)))
	sleeper := loadIn(t, engine, sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: 500 * time.Millisecond}})
	sleep := func(ctx context.Context, d time.Duration, turn *turn) error {
		turn.has = true
		_, err := sleeper.Call(ctx, sandbox.Request{Turn: turn, Input: binary.LittleEndian.AppendUint64(nil, uint64(d))})
		return err
	}
	var short, long, never turn
	if err := sleep(t.Context(), 10*time.Microsecond, &short); err != nil || short.paused != 0 {
		t.Errorf("a short wait: %v, %+v", err, short)
	}
	if err := sleep(t.Context(), 20*time.Millisecond, &long); err != nil || long.paused != 1 || long.resumed != 1 {
		t.Errorf("a long wait: %v, %+v", err, long)
	}
	never.refuse = errors.New("no turn")
	refused(t, sleep(t.Context(), 5*time.Millisecond, &never), fault.GuestTimeout)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := sleep(ctx, 5*time.Millisecond, &never)
	if refused(t, err, fault.GuestTimeout); fault.FromError(err).Meta["deadline"] != "caller" || never.resumed != 0 {
		t.Errorf("got %v, %+v", err, never)
	}
}

// together is a turn of many calls: each waits in Pause until all have paused.
type together struct{ *sync.WaitGroup }

func (t together) Pause() { t.Done(); t.Wait() }

func (t together) Resume(context.Context) error { return nil }

// TestCallsThatWaitHaveInstances has many calls wait at the same time, twice. The second
// time, none has to make an instance.
func TestCallsThatWaitHaveInstances(t *testing.T) {
	m := w.New()
	f := m.Import("wasi_snapshot_preview1", "poll_oneoff", "iiii>i")
	m.Memory(1, -1)
	clock := make([]byte, 48) // on the monotonic clock
	clock[16] = 1
	binary.LittleEndian.PutUint64(clock[24:], uint64(time.Millisecond))
	m.Data(0, clock)
	m.Export("ruedo_http", m.Func(">"))
	m.AsFunction(m.Func(">i", w.CallWith(f, 0, 1024, 1, 4096), w.Drop(), w.I32(0)))
	const calls = 16
	sleeper := loadIn(t, newEngine(t, sandbox.Config{MaxIdle: 2}), sandbox.Spec{Wasm: m.Bytes()})
	for again := range 2 {
		turn := together{new(sync.WaitGroup)}
		turn.Add(calls)
		var cold atomic.Int32
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				res, err := sleeper.Call(t.Context(), sandbox.Request{Turn: turn})
				if err != nil {
					t.Error(err)
				}
				if res.Cold {
					cold.Add(1)
				}
			})
		}
		if wg.Wait(); again == 1 && cold.Load() > 0 {
			t.Errorf("%d of %d calls made an instance", cold.Load(), calls)
		}
	}
}
