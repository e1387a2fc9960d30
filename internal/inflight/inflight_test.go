package inflight_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/inflight"
)

// TestWait closes a group with work in flight.
func TestWait(t *testing.T) {
	var g inflight.Group
	for range 2 {
		if !g.Enter() || g.Closed() {
			t.Fatal("an open group refuses work")
		}
	}
	g.Close()
	if g.Enter() || !g.Closed() {
		t.Error("a closed group accepts work")
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Wait(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with two in flight: %v", err)
	}
	g.Leave()
	if err := g.Wait(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with one in flight: %v", err)
	}
	done := make(chan error)
	go func() { done <- g.Wait(t.Context()) }()
	g.Leave()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := g.Wait(canceled); err != nil {
		t.Errorf("Wait with nothing in flight: %v", err)
	}
}

// TestNothingIsLeftBehind closes a group while work comes and goes: all work
// that entered has left when Wait returns.
func TestNothingIsLeftBehind(t *testing.T) {
	var g inflight.Group
	var working atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for g.Enter() {
				working.Add(1)
				working.Add(-1)
				g.Leave()
			}
		})
	}
	if err := g.Wait(t.Context()); err != nil || working.Load() != 0 {
		t.Errorf("%d in flight after Wait: %v", working.Load(), err)
	}
	wg.Wait()
}
