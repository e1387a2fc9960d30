package hostcall

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// maxWhole is how much of an answer that can stream is held back until the guest
// returns, waits or flushes.
const maxWhole = 32 << 10

// exchange is the part of a call that streams.
type exchange struct {
	*stream.Exchange
	http           bool
	head, trailers []byte       // of the answer
	body           *stream.File // of the call itself, once it is open
	written        int64        // bytes of an answer that can stream
	ended          bool         // the guest has ended its answer
	flush          bool         // the guest wants what it wrote to be sent
	flushDue       bool         // it does so since the last slice or earlier
	maxIdle        time.Duration
	moved          uint64    // what the exchange had moved ...
	movedAt        time.Time // ... when that was new
}

// streams returns the exchange of the call, and makes one if there is none.
func (c *Call) streams() *exchange {
	if c.exchange == nil {
		c.exchange = &exchange{Exchange: stream.New(stream.Config{Context: context.Background()})}
	}
	return c.exchange
}

// file returns the stream with a number, or nil.
func (c *Call) file(fd uint32) *stream.File {
	if c.exchange == nil {
		return nil
	}
	return c.exchange.File(fd)
}

// Exchange returns the part of the call that streams, or nil if there is none.
func (c *Call) Exchange() *stream.Exchange {
	if c.exchange == nil {
		return nil
	}
	return c.exchange.Exchange
}

// Answer returns the head and the trailers of an answer, as the guest wrote them;
// nil if it wrote none.
func (c *Call) Answer() (head, trailers []byte) {
	if c.exchange == nil {
		return nil, nil
	}
	return c.exchange.head, c.exchange.trailers
}

// Streamed reports whether the answer streamed, so that it is not in Output.
func (c *Call) Streamed() bool { return c.exchange != nil && c.exchange.Responds() }

// InputExcess is the size of an input that streamed when it was found to be over
// its limit, or 0.
func (c *Call) InputExcess() int64 {
	if c.exchange == nil {
		return 0
	}
	return c.exchange.InputExcess()
}

// take appends to the answer as much as it can without waiting.
func (c *Call) take(p []byte) (int, error) {
	x := c.exchange
	switch {
	case x.Gone():
		return 0, stream.ErrGone
	case x.ended:
		return 0, io.ErrClosedPipe
	case !x.CanRespond():
		if !c.write(p) {
			return 0, stream.ErrOutputLimit
		}
		return len(p), nil
	}
	c.outputBegun = true
	if c.Excess > 0 {
		panic(errFlooded)
	}
	if size := x.written + int64(len(p)); size > c.maxOutput {
		c.Excess = size
		return 0, stream.ErrOutputLimit
	}
	if !x.Responds() && len(c.Output)+len(p) <= maxWhole {
		c.Output = append(c.Output, p...)
		x.written += int64(len(p))
		return len(p), nil
	}
	c.respond()
	n, err := x.TryWrite(p)
	x.written += int64(n)
	return n, err
}

// respond begins to stream the answer, if it can.
func (c *Call) respond() {
	x := c.exchange
	x.flush, x.flushDue = false, false
	if x.Responds() || !x.CanRespond() {
		return
	}
	x.Respond(x.head, c.Output)
	if c.Output = nil; x.ended {
		x.CloseWrite()
	}
}

// due sends what the guest has written: a guest that waits has said what it had to
// say. Before the head nothing is sent, as it would go without.
func (c *Call) due() {
	if c.exchange != nil && (c.headWritten || c.outputBegun) {
		c.respond()
	}
}

// answer is a call as the file of the call itself sees it.
type answer Call

func (a *answer) TryWrite(p []byte) (int, error) { return (*Call)(a).take(p) }

func (a *answer) Writable() (n int, ready, over bool) {
	c := (*Call)(a)
	switch {
	case c.exchange.ended, c.exchange.Gone():
		return 0, true, true
	case c.Streamed():
		return c.exchange.Writable()
	}
	return stream.Window, true, false
}

// CloseWrite ends the answer before the guest returns.
func (a *answer) CloseWrite() {
	a.exchange.ended, a.exchange.flush = true, true
	if c := (*Call)(a); c.Streamed() {
		c.exchange.CloseWrite()
	}
}

// open returns the file of the call itself.
func (c *Call) open() *stream.File {
	x := c.streams()
	if x.body == nil {
		x.body = x.Own(c.input, (*answer)(c))
	}
	return x.body
}

// SliceEnd sends an answer that the guest has flushed, once it has computed for a
// whole slice since then. It is called now and then while the guest computes.
func (g *Guest) SliceEnd() {
	c := g.call
	if c == nil || c.exchange == nil || !c.exchange.flush {
		return
	}
	if c.exchange.flushDue {
		c.due()
	} else {
		c.exchange.flushDue = true
	}
}

// Hangup tells the guest that its caller is gone.
func (g *Guest) Hangup() { g.call.streams().Hangup() }

// forever is longer than any call.
const forever = time.Duration(math.MaxInt64)

// wait waits until ready returns true or d has passed. It holds no thread, and ends
// the call if the call ends first, or if nothing moves for too long.
func (g *Guest) wait(ready func() bool, d time.Duration) {
	c := g.call
	if d <= 0 || ready() {
		return
	}
	c.due()
	x := c.exchange
	if x == nil {
		g.meter.Sleep(d)
		return
	}
	// A wait for one stream also sees the others move.
	check := func() bool { x.note(); return ready() }
	for began := time.Now(); !check(); {
		left := d - time.Since(began)
		if left <= 0 {
			return
		}
		idle := forever
		if x.maxIdle > 0 {
			if idle = x.maxIdle - time.Since(x.movedAt); idle <= 0 {
				g.meter.Idle()
			}
		}
		g.meter.Wait(min(left, idle), x.Wake(), check)
	}
}

// note notes when bytes moved.
func (x *exchange) note() {
	if moved := x.Moved(); moved != x.moved || x.movedAt.IsZero() {
		x.moved, x.movedAt = moved, time.Now()
	}
}

func bodyOpen(g *Guest, _ api.Memory, stack []uint64) {
	f := g.call.open()
	fd, ok := g.call.exchange.Number(f)
	if !ok {
		fd = abi.ErrLimit
	}
	result(stack, fd)
}

// outputFlush takes effect when the guest waits or its next slice ends: an answer
// that is complete by then needs no stream.
func outputFlush(g *Guest, _ api.Memory, stack []uint64) {
	g.call.streams().flush = true
	result(stack, 0)
}

// trailersWrite takes the trailers whole; the last ones count.
func trailersWrite(g *Guest, mem api.Memory, stack []uint64) {
	p, ok := mem.Read(arg(stack, 0), arg(stack, 1))
	if !ok {
		result(stack, abi.ErrFault)
		return
	}
	g.meter.Step(len(p))
	if err := stream.CheckTrailers(p); err != nil {
		result(stack, headError(err))
		return
	}
	g.call.streams().trailers = append([]byte(nil), p...)
	result(stack, int32(len(p)))
}

func headError(err error) int32 {
	if errors.Is(err, stream.ErrHeadTooLarge) {
		return abi.ErrLimit
	}
	return abi.ErrInvalid
}

// streamOpen begins an outbound stream. Nothing of it is known yet: not even
// whether it is allowed.
func streamOpen(g *Guest, mem api.Memory, stack []uint64) {
	p, ok := mem.Read(arg(stack, 0), arg(stack, 1))
	if !ok {
		result(stack, abi.ErrFault)
		return
	}
	g.meter.Step(len(p))
	o, err := stream.ParseOutbound(p)
	if err != nil {
		result(stack, headError(err))
		return
	}
	fd, ok := g.call.streams().Open(o)
	if !ok {
		fd = abi.ErrLimit
	}
	result(stack, fd)
}

// streamHead reads the head or the trailers of a stream.
func streamHead(g *Guest, mem api.Memory, stack []uint64) {
	f := g.call.file(arg(stack, 0))
	to, ok := mem.Read(arg(stack, 2), arg(stack, 3))
	if f == nil || !ok {
		result(stack, abi.ErrFault)
		return
	}
	read := f.Head
	switch arg(stack, 1) {
	case 0:
	case 1:
		read = f.Trailers
	default:
		result(stack, abi.ErrInvalid)
		return
	}
	to = to[:min(len(to), stream.MaxHead)]
	for {
		n, err := read(to)
		switch {
		case err == nil:
			g.meter.Step(n)
			result(stack, int32(n))
			return
		case err != stream.ErrWait:
			result(stack, abi.ErrBroken)
			return
		case f.Nonblock:
			result(stack, abi.ErrAgain)
			return
		}
		g.wait(func() bool { _, err := read(nil); return err != stream.ErrWait }, forever)
	}
}

// readBody is input_read of a body that streams, or that has a descriptor.
func readBody(g *Guest, to []byte) int32 {
	f := g.call.open()
	to = to[:min(len(to), stream.Window)]
	for {
		n, err := f.TryRead(to)
		switch {
		case err == nil:
			g.meter.Step(n)
			return int32(n)
		case err == io.EOF:
			return 0
		case err == stream.ErrInputLimit:
			return abi.ErrLimit
		case err != stream.ErrWait:
			return abi.ErrBroken
		}
		g.wait(func() bool { _, ready, _ := f.Readable(); return ready }, forever)
	}
}

// writeAnswer is output_write. It waits while the window of an answer that streams
// is full, and may take less.
func writeAnswer(g *Guest, p []byte) int32 {
	c := g.call
	for {
		n, err := c.take(p)
		switch {
		case err == nil:
			g.meter.Step(n)
			return int32(n)
		case err == stream.ErrOutputLimit:
			return abi.ErrLimit
		case err != stream.ErrWait:
			return abi.ErrBroken
		}
		g.wait(func() bool { _, ready, _ := (*answer)(c).Writable(); return ready }, forever)
	}
}
