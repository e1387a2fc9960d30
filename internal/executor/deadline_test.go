package executor_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

var errLate = errors.New("late")

type key struct{}

// To whoever waits, a Deadline is what package context would have made.
func TestADeadlineEndsAsThoseOfPackageContext(t *testing.T) {
	soon, later := 5*time.Millisecond, time.Hour
	for name, tt := range map[string]struct {
		callers, own time.Duration // 0: the caller has none
		gone         bool          // the caller is
		err, cause   error
	}{
		"its own":             {0, soon, false, context.DeadlineExceeded, errLate},
		"its own first":       {later, soon, false, context.DeadlineExceeded, errLate},
		"the caller's":        {soon, later, false, context.DeadlineExceeded, context.DeadlineExceeded},
		"a caller who leaves": {0, later, true, context.Canceled, context.Canceled},
	} {
		for how, wait := range map[string]func(d *executor.Deadline){
			"by Done": func(d *executor.Deadline) { <-d.Done() },
			"by Err": func(d *executor.Deadline) {
				testkit.Eventually(t, "it has ended", func() bool { return d.Err() != nil })
			},
			"by Waits": func(d *executor.Deadline) {
				done, at := executor.Waits(d)
				select {
				case <-done:
				case <-time.After(time.Until(at)):
				}
			},
			"by a context of it": func(d *executor.Deadline) {
				ctx, cancel := context.WithCancel(context.WithValue(d, key{}, 2))
				defer cancel()
				<-ctx.Done()
				if context.Cause(ctx) != context.Cause(d) || ctx.Err() != d.Err() {
					t.Errorf("%s: the context of it ends with %v, it with %v", name, context.Cause(ctx), context.Cause(d))
				}
			},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 1))
				defer cancel()
				if tt.callers > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.callers)
					defer cancel()
				}
				at := time.Now().Add(tt.own)
				d := executor.WithDeadline(ctx, at, errLate)
				defer d.Stop()
				if got, ok := d.Deadline(); !ok || got.After(at) {
					t.Errorf("the deadline is %v", got)
				}
				if d.Value(key{}) != 1 {
					t.Error("it has no values")
				}
				if tt.gone {
					cancel()
				} else if err := d.Err(); err != nil {
					t.Errorf("it has ended immediately: %v", err)
				}
				wait(d)
				if err, cause := d.Err(), context.Cause(d); err != tt.err || cause != tt.cause {
					t.Errorf("it ends with %v because of %v, want %v because of %v", err, cause, tt.err, tt.cause)
				}
			})
		}
	}
}

// Who waits after Stop, or since before it, does not wait for the deadline.
func TestAStoppedDeadlineHasEnded(t *testing.T) {
	before := executor.WithDeadline(t.Context(), time.Now().Add(time.Hour), nil)
	done := before.Done()
	before.Stop()
	<-done
	after := executor.WithDeadline(t.Context(), time.Now().Add(time.Hour), nil)
	after.Stop()
	<-after.Done()
	asked := executor.WithDeadline(t.Context(), time.Now().Add(time.Hour), nil)
	asked.Stop()
	for _, d := range []*executor.Deadline{before, after, asked} {
		if err := d.Err(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// Package context tells the contexts of a context that it has ended only after those who
// wait for it: then a Deadline has ended, too, although its timer does not know it yet.
func TestADeadlineThatHasATimerEndsWithItsCaller(t *testing.T) {
	callers := &caller{Context: context.Background(), left: make(chan struct{})}
	d := executor.WithDeadline(callers, time.Now().Add(time.Hour), nil)
	defer d.Stop()
	left, _ := executor.Waits(d)
	d.Done() // has a timer
	close(callers.left)
	<-left
	if err := d.Err(); err != context.Canceled {
		t.Errorf("it ends with %v, want %v", err, context.Canceled)
	}
}

// caller is a context that tells those of it that it has ended when it is asked.
type caller struct {
	context.Context
	left  chan struct{}
	tell  func()
	asked sync.Once
}

func (c *caller) Done() <-chan struct{} { return c.left }

func (c *caller) Err() error {
	select {
	case <-c.left:
		c.asked.Do(func() { go c.tell() })
		return context.Canceled
	default:
		return nil
	}
}

// AfterFunc is what package context asks for f to be called at the end.
func (c *caller) AfterFunc(f func()) (stop func() bool) {
	c.tell = f
	return func() bool { return false }
}

// A deadline that nobody waits for has no timer.
func TestADeadlineAlone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	at := time.Now().Add(time.Hour)
	if n := testing.AllocsPerRun(100, func() {
		d := executor.WithDeadline(ctx, at, errLate)
		executor.Waits(d)
		if d.Err() != nil {
			t.Error("it has ended")
		}
		d.Stop()
	}); n > 1 {
		t.Errorf("it takes %v allocations", n)
	}
}

// A deadline of a deadline has no timer either, whichever of them is first.
func TestADeadlineOfADeadline(t *testing.T) {
	soon, later := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	for _, at := range [][2]time.Time{{soon, later}, {later, soon}} {
		callers := executor.WithDeadline(t.Context(), at[0], nil)
		own := executor.WithDeadline(callers, at[1], errLate)
		if done, first := executor.Waits(own); done != t.Context().Done() || !first.Equal(soon) {
			t.Errorf("it is to be looked at %s, want %s", first, soon)
		}
		callers.Stop()
		if own.Err() == nil {
			t.Error("it goes on although that of its caller has ended")
		}
		own.Stop()
	}
}
