package fuel_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
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
	m.AsFunction(m.FuncLocals(">i", []byte{1, 1, 0x7f}, compute, w.CallWith(f, 0, 1024, 1, 4096), w.Drop(), w.I32(0)))
	sleeper := loadIn(t, engine, sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: time.Minute}})
	worker := loadIn(t, engine, sandbox.Spec{Wasm: w.Function(w.Forever()).Bytes(), Limits: sandbox.Limits{CPU: 5 * time.Millisecond, Timeout: time.Minute}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	sleepers := runtime.GOMAXPROCS(0)
	for range sleepers {
		wg.Go(func() { _, _ = sleeper.Call(ctx, sandbox.Request{}) })
	}
	testkit.Eventually(t, "all of them sleep", func() bool { taken, guests := slots.State(); return guests == sleepers && taken == 0 })
	_, err := worker.Call(t.Context(), sandbox.Request{})
	refused(t, err, fault.GuestCPU)
	cancel()
	wg.Wait()
}
