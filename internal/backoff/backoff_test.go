package backoff_test

import (
	"context"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/backoff"
)

func TestBackoffGrowsAndStaysBounded(t *testing.T) {
	b := backoff.Backoff{Base: 8 * time.Millisecond, Max: 64 * time.Millisecond}
	for _, most := range []time.Duration{8, 16, 32, 64, 64, 64} {
		most *= time.Millisecond
		if d := b.Next(); d < most/2 || d > most {
			t.Errorf("waits %v, want %v to %v", d, most/2, most)
		}
	}
	b.Reset()
	if d := b.Next(); d > 8*time.Millisecond {
		t.Errorf("waits %v after a reset", d)
	}
	b.Exhaust()
	if d := b.Next(); d < 32*time.Millisecond {
		t.Errorf("waits %v if exhausted", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&backoff.Backoff{Base: time.Hour, Max: time.Hour}).Wait(ctx); err != context.Canceled {
		t.Errorf("%v, want canceled", err)
	}
}

func TestTheZeroBackoffIsReady(t *testing.T) {
	var b backoff.Backoff
	if d := b.Next(); d < 50*time.Millisecond || d > 100*time.Millisecond {
		t.Errorf("waits %v", d)
	}
	for range 10 {
		if d := b.Next(); d > 2*time.Second {
			t.Errorf("waits %v", d)
		}
	}
}
