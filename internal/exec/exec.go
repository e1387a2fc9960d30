// Package exec holds the one shape of a call.
//
// [Executor] is to Ruedo what io.Reader is to Go: the runner does it, the
// dispatcher does it, a lane is it, and every decorator wraps it. The type does
// not reveal whether the runner is in this process or behind a firewall at an
// edge site.
//
// # Streams
//
// An Executor takes a body that is whole and returns one that is whole. Streamed
// bodies will be a second, optional interface, as http.Flusher is to
// http.ResponseWriter: an executor that can stream has a method ExecuteStream,
// which takes the same request, a reader for the rest of the caller's body and a
// way to respond. Callers ask for it by a type assertion. Executor itself stays,
// as the fast path, and wrappers pass the second interface on.
package exec

import (
	"context"
	"io"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
)

// Executor executes one call.
//
// Execute may be called from many goroutines. The context carries the
// caller's deadline and ends when the caller is gone; the guest is stopped
// then. The request is not changed and not kept; the response is the caller's
// own. A failure is a *fault.Error with the reason, and with NotStarted if
// the call provably did not begin.
type Executor interface {
	Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error)
}

// Runner is an executor that can be told beforehand what it will execute.
//
// Prepare fetches, compiles and starts the plan, so that the first call meets
// no cold start. It may be called from many goroutines and for the same plan
// again, which is cheap.
type Runner interface {
	Executor
	Prepare(ctx context.Context, req *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error)
}

// Source is where a runner gets what it executes: the core that asked.
// All methods may be called concurrently.
type Source interface {
	// Plan returns the plan with this id; PLAN_NOT_FOUND if there is none.
	Plan(ctx context.Context, id string) (*runnerv1.Plan, error)
	// Module opens the bytes of a module. The bytes are unverified: the
	// runner compares them with the digest itself. The caller closes it.
	Module(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Func makes a function an Executor.
type Func func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error)

// Execute calls f.
func (f Func) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	return f(ctx, req)
}

// Middleware wraps an executor with one more rule.
type Middleware func(next Executor) Executor

// Chain wraps ex so that the first middleware is the outermost: it sees a call
// first and its answer last.
//
//	Chain(ex, schema, rate):   call -> schema -> rate -> ex
func Chain(ex Executor, ms ...Middleware) Executor {
	for i := len(ms) - 1; i >= 0; i-- {
		ex = ms[i](ex)
	}
	return ex
}

var _ Executor = Func(nil)
