package modules

import (
	"context"
	"sync"
	"time"
)

// throttle spaces bytes, so that all fetches together stay under a rate.
type throttle struct {
	rate int64 // bytes a second; zero means no limit

	mu   sync.Mutex
	free time.Time // when the bytes that were let through are paid for
}

// wait returns when n more bytes may arrive.
func (t *throttle) wait(ctx context.Context, n int) error {
	if t.rate <= 0 {
		return nil
	}
	t.mu.Lock()
	now := time.Now()
	if t.free.Before(now) {
		t.free = now
	}
	t.free = t.free.Add(time.Duration(int64(n) * int64(time.Second) / t.rate))
	pause := t.free.Sub(now)
	t.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
