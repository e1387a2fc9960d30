package stream

import (
	"errors"
	"io"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/panics"
)

// errNotOnLane is the cause of an answer that came on the lane although it must not.
var errNotOnLane = errors.New("the runner sent more of it on the lane than it may")

// answer is the body of an answer, as the runner sends it: what comes on the lane, if it
// begins there, and then what comes on a stream of its own.
type answer struct {
	call *Call

	// What comes on the lane. Guarded by Call.mu.
	waiting   []byte
	pieces    uint32                                            // so many came
	room      int                                               // for more of them, in bytes
	next      *connect.ClientStream[runnerv1.PushAnswerRequest] // what follows ...
	after     uint32                                            // ... so many pieces
	over      bool                                              // nothing follows
	whole     bool                                              // what came is the whole answer
	changed   chan struct{}                                     // has room for one signal
	responded chan struct{}                                     // closed when nobody reads the answer any more

	// Of the reader.
	from  *connect.ClientStream[runnerv1.PushAnswerRequest]
	rest  []byte
	ended bool  // nothing follows the rest
	err   error // once nothing is left
	broke bool  // the stream broke, and not who writes it
}

// onLane returns the answer that begins on the lane. The caller holds c.mu.
func (c *Call) onLane() *answer {
	if c.begins == nil {
		c.streaming()
		c.begins = &answer{call: c, room: c.Room(), changed: make(chan struct{}, 1), responded: make(chan struct{})}
	}
	return c.begins
}

// stop ends the answer with the call. The caller holds Call.mu.
func (a *answer) stop() {
	if a.pieces == 0 {
		close(a.responded) // nobody reads it, or ever will
	}
	a.over, a.waiting = true, nil
	a.signal()
}

func (a *answer) signal() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// Take takes a piece of the answer that came on the lane. The first one begins the
// answer. left is called if the caller does not want the rest. Take does not wait.
func (c *Call) Take(p *runnerv1.AnswerPiece, left func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	a := c.onLane()
	size, first := len(p.GetHead())+len(p.GetData()), a.pieces == 0
	switch {
	case a.over:
		return
	case size > a.room || a.room == 0,
		first && c.answer.began,
		!first && (len(p.GetData()) == 0 || len(p.GetHead()) > 0),
		a.next != nil && a.pieces >= a.after:
		c.fail(broken(errNotOnLane, "answer"))
		return
	}
	a.room -= size
	a.pieces++
	switch {
	case c.left:
	case len(a.waiting) == 0:
		a.waiting = p.GetData()
	default:
		a.waiting = append(a.waiting, p.GetData()...)
	}
	if first {
		c.answer.began, c.answered = true, true
		c.handlers.Go(func() { c.respond(a, p.GetHead(), left) })
	}
	a.signal()
}

// respond hands an answer that began on the lane to the caller.
func (c *Call) respond(a *answer, head []byte, left func()) {
	defer close(a.responded)
	if err := panics.Try(func() error { c.x.Respond(head, a); return nil }); err != nil {
		c.fail(broken(err, "answer"))
		return
	}
	c.mu.Lock()
	c.read, c.left = a.err == io.EOF, a.err == nil
	a.waiting = nil
	tell := c.left && a.next == nil && !a.over
	c.mu.Unlock()
	if tell {
		left()
	}
}

// follow hands the stream over on which an answer goes on, and waits until nobody reads
// it any more. It returns nil if nothing may follow: the end of the call would wait for a
// stream that only the runner can end.
func (c *Call) follow(from *connect.ClientStream[runnerv1.PushAnswerRequest]) *answer {
	c.mu.Lock()
	a := c.onLane()
	over := a.over
	if !over {
		a.next, a.after = from, from.Msg().After
		a.signal()
	}
	c.mu.Unlock()
	if over {
		return nil
	}
	<-a.responded
	return a
}

// Answered says that the runner has answered the call, so that nothing follows on the
// lane. If streamed, what came there is the whole answer.
func (c *Call) Answered(streamed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.begins; a != nil && a.pieces > 0 && a.next == nil && !a.over {
		a.over, a.whole = true, streamed && c.ctx.Err() == nil
		a.signal()
	}
}

// finish waits until the caller has what came on the lane, if nothing follows.
func (c *Call) finish(streamed bool) {
	c.Answered(streamed)
	c.mu.Lock()
	a := c.begins
	waits := a != nil && a.pieces > 0 && a.over
	c.mu.Unlock()
	if waits {
		<-a.responded
	}
}

// Read returns the end with the last bytes if both came on the lane: they need not leave
// one by one.
func (a *answer) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		switch {
		case a.err != nil:
		case a.ended:
			a.err = io.EOF
		case a.from == nil:
			a.await()
			continue
		case a.from.Receive():
			msg := a.from.Msg()
			a.rest, a.ended = msg.Data, msg.End
			continue
		case a.call.ctx.Err() != nil:
			a.err = fault.FromError(a.call.ctx.Err())
		case a.from.Err() != nil:
			a.err, a.broke = broken(a.from.Err(), "answer"), true
		default:
			a.err = errAborted
		}
		return 0, a.err
	}
	n := copy(p, a.rest)
	if a.rest = a.rest[n:]; len(a.rest) == 0 && a.from == nil && a.advance() && a.ended && len(a.rest) == 0 {
		a.err = io.EOF
	}
	if a.err == io.EOF {
		return n, io.EOF
	}
	return n, nil
}

// await waits until it is known what comes next.
func (a *answer) await() {
	for !a.advance() {
		select {
		case <-a.changed:
		case <-a.call.ctx.Done():
			a.err = fault.FromError(a.call.ctx.Err())
			return
		}
	}
}

// advance takes what comes next, and reports false if that is not known yet.
func (a *answer) advance() bool {
	a.call.mu.Lock()
	defer a.call.mu.Unlock()
	switch {
	case len(a.waiting) > 0:
		a.rest, a.waiting = a.waiting, nil
	case a.next != nil && a.after == a.pieces:
		a.from = a.next
		a.rest, a.ended = a.from.Msg().Data, a.from.Msg().End
	case a.whole:
		a.ended = true
	case a.over:
		a.err = errAborted
	default:
		return false
	}
	return true
}

// Readable says that there is something to read, as far as that is known.
func (a *answer) Readable() (n int, ready, over bool) {
	if len(a.rest) == 0 && a.from == nil && !a.ended && a.err == nil {
		a.advance()
	}
	over = len(a.rest) == 0 && (a.ended || a.err != nil)
	return len(a.rest), over || len(a.rest) > 0, over
}
