package executor

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Deadline is the context of a call with a deadline. It has a timer only once somebody
// waits for its end, because timers cost calls more than all else that a context does.
// Whoever can look at many deadlines with one timer waits as [Waits] says.
type Deadline struct {
	context.Context // the caller's
	at              time.Time
	cause           error

	timed   atomic.Pointer[timed] // nil until somebody waits
	mu      sync.Mutex            // held while timed is made
	stopped atomic.Bool
}

// timed is a Deadline with a timer.
type timed struct {
	context.Context
	cancel context.CancelFunc
}

// WithDeadline returns a context that ends at a time, with a cause. Call Stop at the end,
// or before, as a [context.CancelFunc].
func WithDeadline(ctx context.Context, at time.Time, cause error) *Deadline {
	return &Deadline{Context: ctx, at: at, cause: cause}
}

// Waits returns what a waiter has to look at: a channel that is closed when the context
// ends, and a time at which it ends as well without the channel being closed. A zero time
// means that there is none. A Deadline of a Deadline has no timer either.
func Waits(ctx context.Context) (<-chan struct{}, time.Time) {
	if s, ok := ctx.(*streaming); ok {
		return Waits(s.Context)
	}
	d, ok := ctx.(*Deadline)
	if !ok || d.timed.Load() != nil {
		return ctx.Done(), time.Time{}
	}
	done, at := Waits(d.Context)
	if at.IsZero() || d.at.Before(at) {
		at = d.at
	}
	return done, at
}

// Stop ends the context, except for those who wait as [Waits] says, and releases its timer.
func (d *Deadline) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped.Store(true)
	if t := d.timed.Load(); t != nil {
		t.cancel()
	}
}

// Deadline returns the time at which the context ends.
func (d *Deadline) Deadline() (time.Time, bool) {
	if at, ok := d.Context.Deadline(); ok && at.Before(d.at) {
		return at, true
	}
	return d.at, true
}

// Done returns a channel that is closed when the context ends.
func (d *Deadline) Done() <-chan struct{} { return d.wait().Done() }

// Err returns why the context has ended.
func (d *Deadline) Err() error {
	t := d.timed.Load()
	switch gone := d.Context.Err() != nil; {
	case gone:
		t = d.wait()
		<-t.Done() // which is a moment later than the end that Waits is about
	case t == nil && (d.stopped.Load() || !time.Now().Before(d.at)):
		t = d.wait()
	case t == nil:
		return nil
	}
	return t.Err()
}

// Value returns a value of the caller's context. Package context finds the cause by it.
func (d *Deadline) Value(key any) any {
	if t := d.timed.Load(); t != nil {
		return t.Value(key)
	}
	return d.Context.Value(key)
}

// wait returns the context with its timer.
func (d *Deadline) wait() *timed {
	if t := d.timed.Load(); t != nil {
		return t
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.timed.Load(); t != nil {
		return t
	}
	ctx, cancel := context.WithDeadlineCause(d.Context, d.at, d.cause)
	if d.stopped.Load() {
		cancel()
	}
	t := &timed{ctx, cancel}
	d.timed.Store(t)
	return t
}
