// Package attempt decides whether a call that has failed on one runner may be sent
// to another one.
//
//	ctx, x := attempt.Watch(ctx) // a call of kind http
//	defer x.Close()
//	res, err := first.Execute(ctx, req)
//	if err != nil && !x.Moved() && attempt.MayRepeat(ctx, err) {
//		res, err = second.Execute(ctx, req)
//	}
package attempt

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

type idempotentKey struct{}

// WithIdempotent marks the calls made with the context as safe to run twice.
func WithIdempotent(ctx context.Context) context.Context {
	return context.WithValue(ctx, idempotentKey{}, true)
}

// MayRepeat reports whether another runner may be tried after this failure, and
// could do better.
func MayRepeat(ctx context.Context, err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || ctx.Err() != nil {
		return false
	}
	if !e.NotStarted {
		idempotent, _ := ctx.Value(idempotentKey{}).(bool)
		return idempotent && e.Reason == fault.RunnerLost
	}
	switch e.Reason {
	case fault.InputTooLarge, fault.Canceled, fault.Deadline:
		return false
	case fault.QueueTimeout:
		return !executor.HasWaited(e) // else it has waited as long as it may
	}
	return e.ConnectCode() != fault.CodeInvalidArgument // another runner would answer the same
}

// Exchange is the exchange of a call that may be tried twice: it knows whether
// anything was taken from the caller or given to it.
type Exchange struct {
	caller executor.Exchange
	moved  atomic.Bool
}

// Watch returns a context with an exchange that is watched, in place of the
// caller's. Close the returned one when the call has its answer.
func Watch(ctx context.Context) (context.Context, *Exchange) {
	x := &Exchange{}
	own := executor.ExchangeOf(ctx)
	if own == nil {
		return ctx, x
	}
	x.caller = *own
	watched := x.caller
	if own.Body != nil {
		watched.Body = body{x}
	}
	if own.Respond != nil {
		watched.Respond = func(head []byte, body io.Reader) {
			x.moved.Store(true)
			x.caller.Respond(head, body)
		}
	}
	if own.Inform != nil {
		watched.Inform = func(head []byte) {
			x.moved.Store(true)
			x.caller.Inform(head)
		}
	}
	return executor.WithExchange(ctx, &watched), x
}

// Moved reports whether a runner has begun to answer, or has read more of the body
// than the first bytes, which come with the request.
func (x *Exchange) Moved() bool { return x.moved.Load() }

// Close closes the caller's body.
func (x *Exchange) Close() {
	if x.caller.Body != nil {
		_ = x.caller.Body.Close()
	}
}

// body is the body as runners get it.
type body struct{ x *Exchange }

func (b body) Read(p []byte) (int, error) {
	b.x.moved.Store(true)
	return b.x.caller.Body.Read(p)
}

// Close closes the body, unless the next runner may still read it.
func (b body) Close() error {
	if !b.x.Moved() {
		return nil
	}
	return b.x.caller.Body.Close()
}
