// Package executor defines the interface through which every call goes.
//
// [Executor] is to Ruedo what io.Reader is to Go: the runner, the dispatcher
// and a lane implement it, and every decorator wraps it. The type does not
// reveal whether the runner is in this process or behind a firewall at an edge
// site.
//
// # Streams
//
// An Executor takes a complete body and returns a complete body. What streams in
// a call of kind http travels next to it, as an [Exchange] in the context: so a
// rule that wraps an executor passes it on without knowing it, and a call without
// streams costs nothing more.
package executor

import (
	"context"
	"io"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
)

// Executor executes one call.
//
// Execute can be called from many goroutines. The context has the caller's
// deadline and ends when the caller is gone; then the guest is stopped. Execute
// neither changes nor retains the request; the response belongs to the caller.
// A failure is a *fault.Error with a reason, and with NotStarted if the call
// provably did not begin.
type Executor interface {
	Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error)
}

// InFlight is a call that an executor has not answered yet.
type InFlight struct {
	// Plan, CallID and Service are those of the request.
	Plan, CallID, Service string
	// Context is the one that the call was made with.
	Context context.Context
}

// Busy is an executor that knows its calls in flight.
type Busy interface {
	// InFlight returns calls in flight, at most limit, in any order. It can be
	// called from many goroutines.
	InFlight(limit int) []InFlight
}

// Runner is an executor that can prepare what it will execute.
//
// Prepare fetches, compiles and starts the plan, so that the first call has no
// cold start. It can be called from many goroutines. Preparing the same plan
// again is cheap.
type Runner interface {
	Executor
	Prepare(ctx context.Context, req *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error)
}

// LogReader is a second interface of a Runner that keeps what guests logged.
//
// ReadLogs returns the entries after a time, the oldest first, in pages. If there
// is none, it waits as long as the request says, but not longer than it
// likes, and the page is empty. The request must name a service or a call. It can be
// called from many goroutines. The entries are shared: do not change them.
// A runner that cannot answer fails with UNIMPLEMENTED.
type LogReader interface {
	ReadLogs(ctx context.Context, req *runnerv1.ReadLogsRequest) (*runnerv1.ReadLogsResponse, error)
}

// Source provides a runner with what it executes: the core that sent the call.
// All methods can be called concurrently.
type Source interface {
	// Plan returns the plan with this id; PLAN_NOT_FOUND if there is none.
	Plan(ctx context.Context, id string) (*runnerv1.Plan, error)
	// Module opens the bytes of a module. The bytes are unverified: the
	// runner compares them with the digest itself. The caller closes it.
	Module(ctx context.Context, digest string) (io.ReadCloser, error)
}

// ChunkSource is a second interface of a Source that stores modules in compressed
// chunks, and can send them without inflating them.
type ChunkSource interface {
	// Chunk returns a chunk of a module: one Zstandard frame of at most MaxChunk
	// bytes, which inflates to at most as many. count is how many chunks the module
	// has; at that index, packed is empty. The caller must not change the bytes, and
	// calls release when it no longer needs them. Errors: MODULE_NOT_FOUND,
	// INTEGRITY.
	Chunk(ctx context.Context, digest string, index int) (packed []byte, count int, release func(), err error)
	// Verify reads a whole module. INTEGRITY if it is damaged.
	Verify(ctx context.Context, digest string) error
}

// MaxChunk is the largest chunk of a module in bytes, compressed or not.
const MaxChunk = 1 << 20

// Chunked is a second interface of what Source.Module returns: the module can be
// fetched in chunks, in several attempts. Then Read is not used.
type Chunked interface {
	// Pieces calls take with the pieces of the module's chunks in order, beginning
	// at a place, until the module is complete or take fails. With verify, the
	// source first checks that the module is sound. It can be called repeatedly,
	// until Close. UNIMPLEMENTED if the core has no chunks.
	Pieces(ctx context.Context, from *runnerv1.ModuleChunk, verify bool, take func(at *runnerv1.ModuleChunk, data []byte) error) error
}

// Func turns a function into an Executor.
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
