package stream

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
)

// Remote is the runner's end of what streams in one call.
type Remote struct {
	// API makes the requests for streams.
	API runnerv1connect.RunnerServiceClient
	// Lane is the secret of the lane, and ID the call's number on it.
	Lane string
	ID   uint64
	// Room is how many more bytes of the answer the core takes on the lane, by Sender.
	Room   int
	Sender Sender

	// Of the executor, which does one thing at a time with an answer.
	cut bool // it broke off on the lane
	// The answer on a stream of its own; nil if there is none, or none any more.
	answer *connect.ClientStreamForClientSimple[runnerv1.PushAnswerRequest, runnerv1.PushAnswerResponse]

	mu    sync.Mutex
	broke *fault.Error // why the first stream broke
	over  bool         // the call was over then, which is why
}

// Sender sends what the core gets of an answer on the lane.
type Sender interface {
	// SendPiece reports false if it does not send a piece.
	SendPiece(*runnerv1.AnswerPiece) bool
	// Enough reports whether the caller does not want another one.
	Enough() bool
}

// timeless is the context of a call without its deadline. A request would pass that on
// in whole milliseconds, and the core would end the stream before the call.
type timeless struct{ context.Context }

func (timeless) Deadline() (time.Time, bool) { return time.Time{}, false }

// Exchange returns what the executor of the call gets. The context is that of the
// call. Without body, what came with the call is all of its body.
func (r *Remote) Exchange(ctx context.Context, body bool) *executor.Exchange {
	x := &executor.Exchange{
		Respond: func(head []byte, body io.Reader) { r.push(ctx, head, body) },
		Inform:  func(head []byte) { r.inform(ctx, head) },
	}
	if body {
		b := &fetched{r: r, call: ctx}
		b.ctx, b.cancel = context.WithCancel(timeless{ctx})
		x.Body, x.Trailers = b, func() []byte { return b.trailers }
	}
	return x
}

// Result returns the answer of the call, or an error if a stream broke meanwhile:
// then neither end takes the answer for complete.
func (r *Remote) Result(res *runnerv1.ExecuteResponse, err error) (*runnerv1.ExecuteResponse, error) {
	if r.answer != nil {
		_, _ = r.answer.CloseAndReceive() // the core has passed on what it got of it
	}
	r.mu.Lock()
	broke, over := r.broke, r.over
	if r.cut && broke == nil && err == nil {
		broke = broken(errNoEnd, "answer")
	}
	r.mu.Unlock()
	if broke == nil || over && err != nil {
		return res, err
	}
	e, info := *broke, res.GetInfo()
	if err != nil {
		info, _ = fault.Detail[*ruedov1.CallInfo](err)
	}
	if info != nil {
		e.Details = []any{info}
	}
	return nil, &e
}

func (r *Remote) broken() *fault.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broke
}

// fail records that a stream broke and returns the error for it. If the call is
// over, that is why.
func (r *Remote) fail(ctx context.Context, err error, what string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broke == nil {
		r.broke = broken(err, what)
		if gone := ctx.Err(); gone != nil {
			r.broke, r.over = fault.FromError(gone), true
		}
	}
	return r.broke
}

// fetched is the rest of the request's body. It is fetched at the first Read.
type fetched struct {
	r        *Remote
	call     context.Context
	ctx      context.Context // ends with the call, or at Close
	cancel   context.CancelFunc
	stream   *connect.ServerStreamForClient[runnerv1.FetchBodyResponse] // nil before
	rest     []byte
	trailers []byte
	err      error // once nothing is left
}

func (b *fetched) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.err == nil {
			b.next()
		}
		if b.err != nil && len(b.rest) == 0 {
			return 0, b.err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// next receives the next piece, or sets err.
func (b *fetched) next() {
	if b.stream == nil {
		stream, err := b.r.API.FetchBody(protocol.WithSecret(b.ctx, b.r.Lane), &runnerv1.FetchBodyRequest{Lane: b.r.Lane, Id: b.r.ID})
		if err != nil {
			b.err = b.failed(err)
			return
		}
		b.stream = stream
	}
	if !b.stream.Receive() {
		err := b.stream.Err()
		if err == nil {
			err = errNoEnd
		}
		b.err = b.failed(err)
		_ = b.stream.Close()
		return
	}
	msg := b.stream.Msg()
	b.rest = msg.Data
	if msg.End {
		b.trailers, b.err = msg.Trailers, io.EOF
		b.stream.Receive() // the end of the response, so that its connection can be used again
		_ = b.stream.Close()
	}
}

// failed returns the error for a body that broke off. What the core says about the
// caller's body concerns only who reads it.
func (b *fetched) failed(err error) error {
	if ce, ok := errors.AsType[*connect.Error](err); ok && faultrpc.Ours(ce) {
		return faultrpc.FromConnect(ce)
	}
	if b.call.Err() == nil && b.ctx.Err() != nil {
		return io.ErrClosedPipe
	}
	return b.r.fail(b.call, err, "request's body")
}

// Close ends a Read in flight. Nobody reads the rest.
func (b *fetched) Close() error {
	b.cancel()
	return nil
}

// begin returns the next message of an answer, which has begun then.
func (r *Remote) begin(ctx context.Context) (*runnerv1.PushAnswerRequest, error) {
	if r.answer != nil {
		return &runnerv1.PushAnswerRequest{}, nil
	}
	stream, err := r.API.PushAnswer(protocol.WithSecret(timeless{ctx}, r.Lane))
	r.answer = stream
	return &runnerv1.PushAnswerRequest{Lane: r.Lane, Id: r.ID}, err
}

// inform sends an informational head to the core. An answer can do without it: if what
// carries it breaks, the rest of the answer says so, unless that is not sent this way.
func (r *Remote) inform(ctx context.Context, head []byte) {
	if msg, err := r.begin(ctx); err == nil {
		msg.Informational = head
		_ = r.answer.Send(msg)
	}
}

// push sends an answer to the core, until it ends or breaks off: what there is room for
// on the lane, and the rest on a stream of its own.
func (r *Remote) push(ctx context.Context, head []byte, body io.Reader) {
	piece := pieces.Get().(*[Piece]byte)
	defer pieces.Put(piece)
	onLane, sent := r.answer == nil, uint32(0)
	msg := new(runnerv1.PushAnswerRequest)
	var read error
	for first := true; read == nil; first = false {
		n := 0
		// The head does not wait for the first bytes.
		if !first || ready(body) {
			n, read = fill(piece[:], body)
		}
		if onLane {
			if !first && n == 0 {
				break
			}
			if r.sendOnLane(head, piece[:n]) {
				sent, head = sent+1, nil
				continue
			}
			if sent > 0 && r.Sender.Enough() {
				return
			}
			var err error
			if msg, err = r.begin(ctx); err != nil {
				_ = r.fail(ctx, err, "answer")
				return
			}
			msg.After, onLane = sent, false
		}
		msg.Head, msg.Data, msg.End = head, piece[:n], read == io.EOF && r.broken() == nil
		if first || n > 0 || msg.End {
			if r.answer.Send(msg) != nil {
				break // the answer says why
			}
		}
		msg.Lane, msg.Id, msg.After, head = "", 0, 0, nil
	}
	if onLane {
		r.cut = read != io.EOF
		return
	}
	// Without an end in its last message, the answer is one that broke off.
	_, err := r.answer.CloseAndReceive()
	r.answer = nil
	if err == nil && read != nil || left(err) {
		return
	}
	if err == nil {
		err = errNoEnd
	}
	_ = r.fail(ctx, err, "answer")
}

// sendOnLane sends a piece of an answer on the lane. It reports false if there is no room
// for it, or if nobody wants it.
func (r *Remote) sendOnLane(head, data []byte) bool {
	size := len(head) + len(data)
	if size > r.Room || r.Room == 0 || r.Sender.Enough() || !r.Sender.SendPiece(&runnerv1.AnswerPiece{Head: head, Data: data}) {
		return false
	}
	r.Room -= size
	return true
}

// left reports whether the core says that the caller does not want the rest.
func left(err error) bool {
	ce, ok := errors.AsType[*connect.Error](err)
	return ok && faultrpc.Ours(ce) && errors.Is(faultrpc.FromConnect(ce), fault.Canceled)
}

// fill reads at least a byte, and then as much as it need not wait for.
func fill(piece []byte, body io.Reader) (n int, err error) {
	for again := true; again && err == nil && n < len(piece); again = n == 0 || ready(body) {
		var m int
		m, err = body.Read(piece[n:])
		n += m
	}
	return n, err
}

// ready reports whether a body is known not to wait for the next Read.
func ready(body io.Reader) bool {
	_, ready := executor.Readable(body)
	return ready
}
