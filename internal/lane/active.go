package lane

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane/queue"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
)

// active is a call whose answer the core waits for, and the task of a worker.
type active struct {
	conn     *Conn
	id       uint64
	exchange bool // it is of kind http
	ctx      context.Context
	cancel   context.CancelFunc
	// execute is the call; nil if do makes the answer.
	execute *runnerv1.Execute
	enough  atomic.Bool // the caller does not want the rest of its answer
	do      func(context.Context) *runnerv1.RunnerFrame
}

// crowded is how many bytes can wait for the lane before answers go another way: they
// would hold up what has none.
const crowded = 256 << 10

// SendPiece sends a piece of the answer on the lane; see [stream.Sender].
func (a *active) SendPiece(p *runnerv1.AnswerPiece) bool {
	if a.conn.out.Bytes() >= crowded {
		return false
	}
	_, err := a.conn.out.Push(&runnerv1.RunnerFrame{Id: a.id, Kind: &runnerv1.RunnerFrame_Answer{Answer: p}})
	return err == nil
}

// Enough reports whether the caller does not want the rest of the answer.
func (a *active) Enough() bool { return a.enough.Load() }

// take removes a call. It reports false if it was removed before.
func (c *Conn) take(id uint64) (*active, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.calls[id]
	delete(c.calls, id)
	if ok && a.exchange {
		c.exchanges--
	}
	return a, ok
}

// put adds a call, unless there is one of that id, or as many as there may be. Calls
// of kind http are counted on their own: most of them wait for their streams, and the
// runner itself decides how many it can hold.
func (c *Conn) put(a *active) (twice, full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, twice = c.calls[a.id]
	full = !a.exchange && len(c.calls)-c.exchanges >= c.limit || a.exchange && c.exchanges >= stream.MaxCalls
	if !twice && !full {
		c.calls[a.id] = a
		if a.exchange {
			c.exchanges++
		}
	}
	return twice, full
}

// start has a worker execute a call and send its answer.
func (c *Conn) start(a *active) {
	if c.draining.Load() {
		c.answer(a.id, failed(notStarted(fault.New(fault.RunnerDraining, "runner %s is draining", c.cfg.Runner.GetId()))))
		return
	}
	a.conn = c
	if timeout := time.Duration(a.execute.GetTimeoutNanos()); timeout > 0 {
		d := executor.WithDeadline(c.ctx, time.Now().Add(timeout), nil)
		a.ctx, a.cancel = d, d.Stop
	} else {
		a.ctx, a.cancel = context.WithCancel(c.ctx)
	}
	if twice, full := c.put(a); twice || full {
		a.cancel()
		if full {
			c.answer(a.id, failed(notStarted(fault.New(fault.QueueFull, "runner %s has %d calls of this core, its limit", c.cfg.Runner.GetId(), c.limit))))
		}
		return
	}
	c.workers.Run(a)
}

// Run executes the call and sends its answer.
func (a *active) Run() {
	defer a.cancel()
	res := a.result()
	if _, wanted := a.conn.take(a.id); wanted { // else it was cancelled: nobody waits
		a.conn.answer(a.id, res)
	}
}

// result executes the call. It recovers from panics, so that a bug in one call does
// not end the runner.
func (a *active) result() (res *runnerv1.RunnerFrame) {
	defer func() {
		if r := recover(); r != nil {
			a.conn.log.Error("call panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			res = failed(fault.New(fault.Internal, "internal error in the runner"))
		}
	}()
	if a.execute != nil {
		return a.conn.execute(a.ctx, a)
	}
	return a.do(a.ctx)
}

func (c *Conn) answer(id uint64, f *runnerv1.RunnerFrame) {
	f.Id = id
	_, err := c.out.Push(f)
	if err == nil || err == queue.ErrClosed {
		return
	}
	if err == queue.ErrFull {
		c.end(queue.ErrFull) // the core does not read: it has lost this lane as well
		return
	}
	// The answer cannot be encoded: its type is not UTF-8, or it is too long.
	bad := failed(fault.Wrap(err, fault.Internal, "the answer does not fit into a frame: %s", err.Error()))
	bad.Id = id
	_, _ = c.out.Push(bad)
}

// executed returns the answer to a call, in a single allocation.
func executed(res *runnerv1.ExecuteResponse) *runnerv1.RunnerFrame {
	f := &struct {
		frame runnerv1.RunnerFrame
		kind  runnerv1.RunnerFrame_Executed
	}{}
	f.kind.Executed = res
	f.frame.Kind = &f.kind
	return &f.frame
}

func failed(err error) *runnerv1.RunnerFrame {
	return &runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_Failure{Failure: errorFailure(err)}}
}
