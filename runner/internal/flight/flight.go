// Package flight lets many ask for the same thing while one gets it.
//
// A [Group] runs one function per key at a time and gives everybody its
// result. Unlike a plain single flight, the work belongs to the group and not
// to whoever came first: a caller that goes away fails nobody else, and
// [Group.Close] ends what is under way and waits for it.
package flight

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// ErrClosed is the result after Close.
var ErrClosed = errors.New("closed")

// Group runs flights. Make one with New.
type Group[T any] struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	flights map[string]*flight[T]
	closed  bool
}

// PanicError is the result of a function that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

type flight[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// New makes a group.
func New[T any]() *Group[T] {
	g := &Group[T]{flights: make(map[string]*flight[T])}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Do runs fn, or waits for the flight of the same key; joined tells which. The
// context that fn gets ends with the group, not with ctx; where ctx ends first,
// Do gives its error and fn goes on.
func (g *Group[T]) Do(ctx context.Context, key string, fn func(context.Context) (T, error)) (value T, joined bool, err error) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return value, false, ErrClosed
	}
	f, joined := g.flights[key]
	if !joined {
		f = &flight[T]{done: make(chan struct{})}
		g.flights[key] = f
		g.wg.Go(func() { g.fly(key, f, fn) })
	}
	g.mu.Unlock()
	select {
	case <-f.done:
		return f.value, joined, f.err
	case <-ctx.Done():
		return value, joined, ctx.Err()
	}
}

func (g *Group[T]) fly(key string, f *flight[T], fn func(context.Context) (T, error)) {
	defer func() {
		if r := recover(); r != nil {
			f.err = &PanicError{r, debug.Stack()}
		}
		g.mu.Lock()
		delete(g.flights, key)
		g.mu.Unlock()
		close(f.done)
	}()
	f.value, f.err = fn(g.ctx)
}

// Close ends the flights under way and waits for them.
func (g *Group[T]) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.wg.Wait()
}
