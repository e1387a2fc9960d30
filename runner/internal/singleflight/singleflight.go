// Package singleflight lets many callers share one fetch of the same thing.
//
// A [Group] runs one function per key at a time and returns its result to all
// callers; a panic of it is a [*panics.Error]. Unlike in a plain single flight,
// the work belongs to the group and not to the first caller: a caller that gives
// up does not fail the others, and [Group.Close] ends the work in flight and
// waits for it.
package singleflight

import (
	"context"
	"errors"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/panics"
)

// ErrClosed is the result after Close.
var ErrClosed = errors.New("closed")

// Group shares calls. Create it with New.
type Group[T any] struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	calls  map[string]*call[T]
	closed bool
}

type call[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// New returns an empty group.
func New[T any]() *Group[T] {
	g := &Group[T]{calls: make(map[string]*call[T])}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Do runs fn, or waits for the call with the same key; joined reports which.
// The context of fn ends with the group, not with ctx. If ctx ends first, Do
// returns its error and fn continues.
func (g *Group[T]) Do(ctx context.Context, key string, fn func(context.Context) (T, error)) (value T, joined bool, err error) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return value, false, ErrClosed
	}
	f, joined := g.calls[key]
	if !joined {
		f = &call[T]{done: make(chan struct{})}
		g.calls[key] = f
		g.wg.Go(func() { g.run(key, f, fn) })
	}
	g.mu.Unlock()
	select {
	case <-f.done:
		return f.value, joined, f.err
	case <-ctx.Done():
		return value, joined, ctx.Err()
	}
}

func (g *Group[T]) run(key string, f *call[T], fn func(context.Context) (T, error)) {
	defer func() {
		g.mu.Lock()
		delete(g.calls, key)
		g.mu.Unlock()
		close(f.done)
	}()
	f.err = panics.Try(func() (err error) {
		f.value, err = fn(g.ctx)
		return err
	})
}

// Close ends the work in flight and waits for it.
func (g *Group[T]) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.wg.Wait()
}
