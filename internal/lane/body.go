package lane

import (
	"context"
	"errors"
	"io"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// GetPlan gives the plan of an id.
func (h *Host) GetPlan(ctx context.Context, req *runnerv1.GetPlanRequest) (*runnerv1.GetPlanResponse, error) {
	if !isDigest(req.Id) {
		return nil, fault.Wire(fault.New(fault.RequestInvalid, "a plan id has 64 hexadecimal digits, not %q", clip(req.Id)))
	}
	h.mu.Lock()
	o := h.preparing[req.Id]
	h.mu.Unlock()
	if o != nil {
		return &runnerv1.GetPlanResponse{Plan: o.plan}, nil
	}
	plan, err := h.cfg.Source.Plan(ctx, req.Id)
	if err != nil {
		return nil, fault.Wire(err)
	}
	return &runnerv1.GetPlanResponse{Plan: plan}, nil
}

// FetchModule gives the bytes of a module.
func (h *Host) FetchModule(ctx context.Context, req *runnerv1.FetchModuleRequest, stream *connect.ServerStream[runnerv1.FetchModuleResponse]) error {
	if !isDigest(req.Digest) {
		return fault.Wire(fault.New(fault.RequestInvalid, "a module digest has 64 hexadecimal digits, not %q", clip(req.Digest)))
	}
	r, err := h.cfg.Source.Module(ctx, req.Digest)
	if err != nil {
		return fault.Wire(err)
	}
	defer r.Close()
	buf := make([]byte, chunkSize)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := stream.Send(&runnerv1.FetchModuleResponse{Data: buf[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fault.Wire(err)
		}
	}
}

// FetchInput gives the input of a call to the runner that has the call.
func (h *Host) FetchInput(_ context.Context, req *runnerv1.FetchInputRequest, stream *connect.ServerStream[runnerv1.FetchInputResponse]) error {
	l := h.lane(req.Lane)
	if l == nil {
		return noCall()
	}
	b := l.pending.body(req.Id)
	if b == nil {
		return noCall()
	}
	buf := make([]byte, chunkSize)
	for off := 0; ; {
		n, ok := b.copyAt(buf, off)
		if !ok {
			return noCall()
		}
		if n == 0 {
			return nil
		}
		if err := stream.Send(&runnerv1.FetchInputResponse{Data: buf[:n]}); err != nil {
			return err
		}
		off += n
	}
}

// PushOutput takes the output and the logs of a call from the runner that has
// it. The call is answered by the frame that follows on the lane.
func (h *Host) PushOutput(_ context.Context, stream *connect.ClientStream[runnerv1.PushOutputRequest]) (*runnerv1.PushOutputResponse, error) {
	var (
		l   *Lane
		id  uint64
		got = &pushed{}
	)
	for stream.Receive() {
		msg := stream.Msg()
		if l == nil {
			l, id = h.lane(msg.Lane), msg.Id
			if l == nil {
				return nil, noCall()
			}
		}
		if !l.pending.has(id) {
			return nil, noCall() // the caller went away
		}
		if len(got.output)+len(msg.Data) > MaxBody || len(got.logs)+len(msg.Logs) > MaxBody {
			return nil, fault.Wire(fault.New(fault.GuestOutputLimit, "an output or log of over %d bytes is more than a lane carries", MaxBody))
		}
		got.output = append(got.output, msg.Data...)
		got.logs = append(got.logs, msg.Logs...)
		got.hasOutput = got.hasOutput || len(msg.Data) > 0
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if l == nil || !l.pending.push(id, got) {
		return nil, noCall()
	}
	return &runnerv1.PushOutputResponse{}, nil
}

// noCall is one answer for an unknown lane, an unknown call and one that is
// over, so that guessing tells nothing.
func noCall() error {
	return connect.NewError(connect.CodeNotFound, errors.New("no such call on this lane"))
}

func isDigest(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
