package stream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// Call is the core's end of what streams in one call. Its methods can be called
// from many goroutines.
type Call struct {
	// ID is the call's number on its lane. It is set before anything of the call is asked
	// for.
	ID uint64

	x     *executor.Exchange
	outer context.Context // of the call
	lane  Breaker
	// A context within that of the call, and what ends it. They are made when something
	// streams: most calls need none.
	ctx context.Context
	end context.CancelCauseFunc

	mu           sync.Mutex
	over         bool
	answered     bool // the head of the answer came
	read         bool // the answer, to its end
	left         bool // the caller did not want the rest of it
	body, answer side
	rest         side    // of an answer that began on the lane
	begins       *answer // on the lane; nil if none did
	handlers     sync.WaitGroup
}

// side is one direction, which is served at most once.
type side struct {
	began     bool
	interrupt func() // what the handler waits for; nil if there is none
}

// Breaker ends calls on a lane.
type Breaker interface {
	// Break ends the wait for the answer to a call. It does nothing if that has come.
	Break(id uint64)
}

// NewCall returns the core's end for a call. When a stream breaks, it breaks the call on
// its lane. The caller must call End.
func NewCall(ctx context.Context, x *executor.Exchange, lane Breaker) *Call {
	return &Call{outer: ctx, x: x, lane: lane}
}

// streaming makes the context for what streams. The caller holds c.mu.
func (c *Call) streaming() {
	if c.ctx == nil {
		c.ctx, c.end = context.WithCancelCause(c.outer)
	}
}

// fail ends the call because a stream broke.
func (c *Call) fail(err error) {
	c.end(err)
	c.lane.Break(c.ID)
}

// Room is how many bytes of the answer can come on the lane.
func (c *Call) Room() int {
	if c.x.Respond == nil {
		return 0
	}
	return Room
}

// Streams reports whether the request's body streams.
func (c *Call) Streams() bool { return c.x.Body != nil }

// End ends what streams, and waits until nobody uses the exchange any more. It
// closes the body.
func (c *Call) End() {
	c.mu.Lock()
	c.over = true
	for _, s := range []*side{&c.body, &c.answer, &c.rest} {
		if s.interrupt != nil {
			s.interrupt()
		}
	}
	if c.begins != nil {
		c.begins.stop()
	}
	c.mu.Unlock()
	if c.x.Body != nil {
		_ = c.x.Body.Close() // nobody reads it any more
	}
	c.handlers.Wait()
	if c.end != nil {
		c.end(nil)
	}
}

// begin begins a direction. It reports false if the call is over, or if the
// direction was asked for before. Otherwise the caller must call leave.
func (c *Call) begin(s *side, interrupt func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || s.began {
		return false
	}
	c.streaming()
	s.began, s.interrupt = true, interrupt
	c.handlers.Add(1)
	return true
}

// leave ends a direction: from now on, its connection belongs to others.
func (c *Call) leave(s *side) {
	c.mu.Lock()
	s.interrupt = nil
	c.mu.Unlock()
	c.handlers.Done()
}

// unbound removes the deadlines of a request, which lasts as long as its call,
// and returns what sets one for the last bytes of its answer.
func unbound(rc *http.ResponseController) (done func(), err error) {
	if err := errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Time{})); err != nil {
		return nil, err
	}
	return func() { _ = rc.SetWriteDeadline(time.Now().Add(lingering)) }, nil
}

// ErrNoCall is the error for a stream that the call does not have, or no longer has.
var ErrNoCall = errors.New("no such stream")

var (
	// errAborted is what the caller's side reads if the runner breaks an answer off. Why
	// follows on the lane.
	errAborted = errors.New("the service failed after its answer began")
	// errLeft is what the runner gets if the caller's side does not read an answer to
	// its end.
	errLeft = fault.New(fault.Canceled, "the caller does not read the answer to its end")
)

// ServeBody sends the body to the runner, until it ends or the call does.
func (c *Call) ServeBody(ctx context.Context, rc *http.ResponseController, to *connect.ServerStream[runnerv1.FetchBodyResponse]) error {
	if c.x.Body == nil || !c.begin(&c.body, func() { _ = rc.SetWriteDeadline(past) }) {
		return ErrNoCall
	}
	defer c.leave(&c.body)
	done, err := unbound(rc)
	if err != nil {
		return err
	}
	defer done()
	// A runner that has enough closes its connection. Then nobody waits for the caller.
	defer context.AfterFunc(ctx, func() { _ = c.x.Body.Close() })()
	buf := pieces.Get().(*[Piece]byte)
	defer pieces.Put(buf)
	for empty := 0; ; empty++ {
		n, err := c.x.Body.Read(buf[:])
		if n > 0 {
			empty = 0
		}
		msg := &runnerv1.FetchBodyResponse{Data: buf[:n], End: errors.Is(err, io.EOF)}
		if msg.End && c.x.Trailers != nil {
			msg.Trailers = c.x.Trailers()
		}
		if n > 0 || msg.End {
			if err := to.Send(msg); err != nil {
				return err
			}
		}
		switch {
		case msg.End:
			return nil
		case err != nil:
			return faultrpc.ToConnect(c.cause(err))
		case empty == 100:
			return faultrpc.ToConnect(c.cause(io.ErrNoProgress))
		}
	}
}

// cause returns why the caller's body broke off.
func (c *Call) cause(err error) error {
	if gone := c.ctx.Err(); gone != nil {
		return fault.FromError(gone)
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	return fault.Wrap(err, fault.InputBroken, "the body of the request broke off")
}

// ServeAnswer hands the answer that the runner sends to the caller, until it ends
// or the call does. The first message has been received.
func (c *Call) ServeAnswer(rc *http.ResponseController, from *connect.ClientStream[runnerv1.PushAnswerRequest]) error {
	s, goesOn := &c.answer, from.Msg().After > 0
	if goesOn {
		s = &c.rest
	}
	if c.x.Respond == nil || !c.begin(s, func() { _ = rc.SetReadDeadline(past) }) {
		return ErrNoCall
	}
	defer c.leave(s)
	done, err := unbound(rc)
	if err != nil {
		return err
	}
	defer done()
	if goesOn {
		a := c.follow(from)
		if a == nil {
			return ErrNoCall
		}
		return c.answerEnded(rc, a)
	}
	if more, err := c.inform(from); !more || err != nil {
		return err
	}
	first := from.Msg()
	if len(first.Head) > MaxHead {
		return faultrpc.ToConnect(fault.New(fault.Internal, "the head of the answer has %d bytes, the limit is %d", len(first.Head), MaxHead))
	}
	c.mu.Lock()
	c.answered = true
	c.mu.Unlock()
	a := &answer{call: c, from: from, rest: first.Data, ended: first.End}
	c.x.Respond(first.Head, a)
	c.mu.Lock()
	c.read, c.left = a.err == io.EOF, a.err == nil
	c.mu.Unlock()
	return c.answerEnded(rc, a)
}

// answerEnded returns what the runner gets that has sent an answer on a stream of its
// own.
func (c *Call) answerEnded(rc *http.ResponseController, a *answer) error {
	switch {
	case a.err == nil:
		_ = rc.SetReadDeadline(past) // what is left is not waited for
		return faultrpc.ToConnect(errLeft)
	case a.broke:
		c.fail(a.err)
		return faultrpc.ToConnect(a.err)
	}
	return nil
}

// inform hands informational heads to the caller, up to the first message that is
// none. It returns false if nothing follows: then the answer is whole, and on the lane,
// or the lane says why there is none.
func (c *Call) inform(from *connect.ClientStream[runnerv1.PushAnswerRequest]) (more bool, err error) {
	for heads, bytes := 0, 0; len(from.Msg().Informational) > 0; {
		head := from.Msg().Informational
		heads, bytes = heads+1, bytes+len(head)
		if heads > executor.MaxInformational || bytes > MaxHead {
			return false, faultrpc.ToConnect(fault.New(fault.Internal, "the answer has more than %d informational heads, or more than %d bytes of them", executor.MaxInformational, MaxHead))
		}
		if c.x.Inform != nil {
			c.x.Inform(head)
		}
		if !from.Receive() {
			return false, from.Err()
		}
	}
	return true, nil
}

// Failed returns the error of a call that has failed with err: if it streamed, and
// what carries the streams broke, that is why.
func (c *Call) Failed(err error) error {
	c.finish(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx != nil {
		if e, ok := errors.AsType[*fault.Error](context.Cause(c.ctx)); ok && e.Reason == fault.StreamBroken {
			return e
		}
	}
	e := fault.FromError(err)
	switch {
	case c.left && e.Reason == fault.StreamBroken: // which is how the runner saw it
		left := *errLeft
		left.Details = e.Details
		return &left
	case e.Reason == fault.RunnerLost && !e.NotStarted && (c.body.began || c.answer.began):
		lost := broken(err, "call")
		lost.Message += ": " + e.Message
		return lost
	}
	return err
}

// Check returns an error if a runner says something else about the answer than what
// came of it. It waits until the caller has what came on the lane.
func (c *Call) Check(streamed bool) error {
	c.finish(streamed)
	c.mu.Lock()
	defer c.mu.Unlock()
	if streamed == c.answered && streamed == (c.read || c.left) {
		return nil
	}
	if gone := c.outer.Err(); gone != nil {
		return fault.FromError(gone) // nobody read it to its end
	}
	return broken(errNoEnd, "answer")
}
