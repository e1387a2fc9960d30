package lane

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

const (
	// logSlack is how much longer than its limit a log may be, for the line
	// that says that something was dropped.
	logSlack = 4 << 10
)

// push is an output and a log on their way to the core. Each call has at most
// one, which holds memory only while the call waits.
type push struct {
	gone chan struct{} // closed when the call is over

	mu        sync.Mutex
	over      bool
	interrupt func() // ends the stream; nil while nothing reads it
	release   func() // frees the memory; nil until it is complete
	got       pushed
}

// pushed is what the runner has pushed for a call.
type pushed struct {
	output    []byte
	hasOutput bool
	logs      []byte
}

func (p *pushed) addLogs(info *ruedov1.CallInfo) {
	if info != nil && len(p.logs) > 0 {
		info.Logs = p.logs
	}
}

// reading arranges for the end of the call to interrupt reads. It reports false
// if the call is already over.
func (p *push) reading(rc *http.ResponseController) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	p.interrupt = func() { _ = rc.SetReadDeadline(time.Unix(1, 0)) }
	return true
}

// leave undoes reading: from now on, the connection belongs to others.
func (p *push) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interrupt = nil
}

// complete stores what was pushed, for take. It reports false if the call is
// over; otherwise release is called when the call ends.
func (p *push) complete(got pushed, release func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	p.got, p.release = got, release
	return true
}

// take returns what was pushed, or the zero value if p is nil or not complete.
func (p *push) take() pushed {
	if p == nil {
		return pushed{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got
}

// end ends the push along with its call.
func (p *push) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over, p.got = true, pushed{}
	close(p.gone)
	if p.interrupt != nil {
		p.interrupt()
	}
	if p.release != nil {
		p.release()
	}
}

// PushOutput receives the output and logs of a call from the runner that
// executes it. A frame on the lane follows and answers the call.
//
// The service's own limits bound what is pushed, and a budget bounds the memory
// of all pushes. A push that does not fit waits, and flow control holds up the
// runner.
func (h *Hub) PushOutput(ctx context.Context, stream *connect.ClientStream[runnerv1.PushOutputRequest]) (*runnerv1.PushOutputResponse, error) {
	req := requestOf(ctx)
	if req == nil {
		return nil, noHandler()
	}
	l, p, plan, err := h.claim(ctx, req, stream)
	if err != nil {
		return nil, err
	}
	defer p.leave()
	allowed, err := h.room(ctx, l, plan, stream.Msg())
	if err != nil {
		return nil, err
	}
	if !h.bodies.Acquire(ctx, p.gone, l, allowed.bytes()) {
		return nil, noCall()
	}
	release := func() { h.bodies.Release(l, allowed.bytes()) }
	got, err := allowed.read(req.rc, p, stream)
	if err != nil || !p.complete(got, release) {
		release()
		if err == nil {
			err = noCall()
		}
		return nil, err
	}
	return &runnerv1.PushOutputResponse{}, nil
}

// claim reads the first message and finds its call. Streams that have not
// proved with their header that they belong to a lane are admitted a few at a
// time, because the first message of an older runner is long.
func (h *Hub) claim(ctx context.Context, req *request, stream *connect.ClientStream[runnerv1.PushOutputRequest]) (*Lane, *push, string, error) {
	if req.lane == nil {
		select {
		case h.unproven <- struct{}{}:
			defer func() { <-h.unproven }()
		case <-ctx.Done():
			return nil, nil, "", faultrpc.ToConnect(fault.FromError(ctx.Err()))
		}
	}
	if !stream.Receive() {
		if err := stream.Err(); err != nil {
			return nil, nil, "", err
		}
		return nil, nil, "", noCall()
	}
	l := h.lane(stream.Msg().Lane)
	if l == nil {
		return nil, nil, "", noCall()
	}
	p, plan := l.pending.claim(stream.Msg().Id)
	if p == nil {
		return nil, nil, "", noCall()
	}
	return l, p, plan, nil
}

// room is how much may be pushed.
type room struct {
	output, logs int64
	announced    bool
	runner       string
}

func (r room) bytes() int64 { return r.output + r.logs }

// room returns what the runner announced, if the plan of the call allows that
// much. If the runner announced nothing, it returns what the plan allows.
func (h *Hub) room(ctx context.Context, l *Lane, plan string, first *runnerv1.PushOutputRequest) (room, error) {
	r := room{output: MaxBody, logs: MaxBody, runner: l.info.Id}
	// A plan that was replaced twice during the call is unknown by now. Then
	// only the bounds of the lane and of all pushes apply.
	if p, err := h.cfg.Source.Plan(ctx, plan); err == nil {
		if n := p.GetLimits().GetOutputBytes(); n > 0 && n < MaxBody {
			r.output = int64(n)
		}
		if n := p.GetLimits().GetLogBytes(); n > 0 && n < MaxBody-logSlack {
			r.logs = int64(n) + logSlack
		}
	}
	output, logs := first.GetOutputBytes(), first.GetLogBytes()
	if output == 0 && logs == 0 {
		r.output, r.logs = min(r.output, h.cfg.BodyBytes/2), min(r.logs, h.cfg.BodyBytes/2)
		return r, nil
	}
	if output > uint64(r.output) {
		return r, faultrpc.ToConnect(r.over("an output", output, r.output))
	}
	if logs > uint64(r.logs) {
		return r, faultrpc.ToConnect(r.over("a log", logs, r.logs))
	}
	r.output, r.logs, r.announced = int64(output), int64(logs), true
	if r.bytes() > h.cfg.BodyBytes {
		return r, faultrpc.ToConnect(r.over("an output with its log", output+logs, h.cfg.BodyBytes))
	}
	return r, nil
}

func (r room) over(what string, actual uint64, limit int64) error {
	return fault.New(fault.GuestOutputLimit, "runner %s pushes %s of %d bytes or more, the limit is %d", r.runner, what, actual, limit).
		WithFix("%s, or let it answer with less", limits.Raise("", limits.Output, limits.Logs))
}

// read reads the messages into a buffer of the announced length.
func (r room) read(rc *http.ResponseController, p *push, stream *connect.ClientStream[runnerv1.PushOutputRequest]) (got pushed, err error) {
	if !p.reading(rc) {
		return got, noCall()
	}
	for {
		msg := stream.Msg()
		if int64(len(got.output)+len(msg.Data)) > r.output {
			return got, faultrpc.ToConnect(r.over("an output", uint64(len(got.output)+len(msg.Data)), r.output))
		}
		if int64(len(got.logs)+len(msg.Logs)) > r.logs {
			return got, faultrpc.ToConnect(r.over("a log", uint64(len(got.logs)+len(msg.Logs)), r.logs))
		}
		got.output, got.logs = gather(got.output, msg.Data, r.output), gather(got.logs, msg.Logs, r.logs)
		got.hasOutput = got.hasOutput || len(msg.Data) > 0
		if !stream.Receive() {
			break
		}
	}
	if err := stream.Err(); err != nil {
		return got, err
	}
	if r.announced && (int64(len(got.output)) != r.output || int64(len(got.logs)) != r.logs) {
		return got, faultrpc.ToConnect(fault.New(fault.Internal, "runner %s announced an output of %d bytes and a log of %d, and pushed %d and %d",
			r.runner, r.output, r.logs, len(got.output), len(got.logs)))
	}
	if !r.announced { // most of the buffer may be unused
		got.output, got.logs = trim(got.output), trim(got.logs)
	}
	return got, nil
}

func gather(to, piece []byte, room int64) []byte {
	if len(piece) == 0 {
		return to
	}
	if to == nil {
		to = make([]byte, 0, room)
	}
	return append(to, piece...)
}

func trim(b []byte) []byte {
	if cap(b) > 2*len(b) {
		return bytes.Clone(b)
	}
	return b
}
