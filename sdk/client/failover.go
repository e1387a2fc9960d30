package client

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/cores"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/retry"
)

// attempts decides whether a request is sent again: to another core, or later if
// the core refused it for now. Requests that could not be sent were already tried at
// all cores, by package cores.
type attempts struct {
	c *Client
	// repeatable requests have no side effects.
	repeatable bool
	url        string // of the core that is asked, as far as is known
	made       int
	retry      retry.Attempts
}

func (c *Client) attempts(repeatable bool) *attempts {
	return &attempts{c: c, repeatable: repeatable, url: c.cores.URL(), retry: c.budget.Begin()}
}

// reading returns the attempts of a stream that is read: another core can go on with
// it, and a refusal ends it.
func (c *Client) reading() *attempts {
	return &attempts{c: c, repeatable: true, url: c.cores.URL()}
}

// again reports whether to send the request again after err. If the core asked to
// wait before that, it has waited.
func (a *attempts) again(ctx context.Context, err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || ctx.Err() != nil {
		return false
	}
	failed, answered := (*cores.Error)(nil), true
	if failed, ok = errors.AsType[*cores.Error](err); ok {
		answered = false
	}
	switch e.Reason {
	case fault.StoreBehind:
		// What the client has written is gone, so it cannot be read.
		return a.c.seen.Forget()
	case fault.ClusterMismatch:
		a.c.cores.Next(a.url)
		return false
	case fault.CoreBehind, fault.StaleAccess:
		return a.next(true)
	case fault.CoreUnreachable:
		return a.next((a.repeatable || answered && e.NotStarted) && (answered || !failed.NotSent))
	}
	return a.later(ctx, e)
}

// later waits as long as a core has asked for that refused the request.
func (a *attempts) later(ctx context.Context, e *fault.Error) bool {
	delay := e.RetryDelay()
	if delay == 0 || !e.NotStarted && !a.repeatable {
		return false
	}
	if e.Reason == fault.ServerBusy { // others may not be
		a.c.cores.Next(a.url)
		a.url = a.c.cores.URL()
	}
	return a.retry.Wait(ctx, delay)
}

// next makes another core the first one to be asked. It reports whether to ask
// it now: if that is safe, and not all cores were asked.
func (a *attempts) next(safe bool) bool {
	a.c.cores.Next(a.url)
	a.url = a.c.cores.URL()
	a.made++
	return safe && a.made < a.c.cores.Len()
}

// failover is the interceptor that sends requests again.
type failover struct {
	c *Client
	// named requests wait until the client knows its cluster.
	named bool
}

var _ connect.Interceptor = failover{}

func (f failover) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := f.find(ctx); err != nil {
			return nil, err
		}
		attempts := f.c.attempts(req.Spec().IdempotencyLevel == connect.IdempotencyNoSideEffects)
		for {
			res, err := next(ctx, req)
			if err == nil || !attempts.again(ctx, err) {
				return res, err
			}
		}
	}
}

// find finds out which cluster the client means, if it has several cores.
func (f failover) find(ctx context.Context) error {
	if !f.named || f.c.cores.Len() == 1 {
		return nil
	}
	return f.c.cluster.find(ctx)
}

func (f failover) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		err := f.find(ctx)
		conn := next(ctx, spec)
		if err != nil {
			return failedConn{conn, err}
		}
		return conn
	}
}

func (f failover) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// failedConn is a stream whose request is not sent.
type failedConn struct {
	connect.StreamingClientConn
	err error
}

func (c failedConn) Send(any) error       { return c.err }
func (c failedConn) CloseRequest() error  { return nil }
func (c failedConn) Receive(any) error    { return c.err }
func (c failedConn) CloseResponse() error { return nil }
