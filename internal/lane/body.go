package lane

import (
	"cmp"
	"context"
	"errors"
	"io"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
	"github.com/ruedo-dev/ruedo/internal/names"
)

// GetPlan returns the plan with an id.
func (h *Hub) GetPlan(ctx context.Context, req *runnerv1.GetPlanRequest) (*runnerv1.GetPlanResponse, error) {
	if !names.ValidDigest(req.Id) {
		return nil, faultrpc.ToConnect(fault.New(fault.RequestInvalid, "a plan id has 64 hexadecimal digits, not %q", clip(req.Id)))
	}
	h.mu.Lock()
	o := h.preparing[req.Id]
	h.mu.Unlock()
	if o != nil {
		return &runnerv1.GetPlanResponse{Plan: o.plan}, nil
	}
	plan, err := h.cfg.Source.Plan(ctx, req.Id)
	if err != nil {
		return nil, faultrpc.ToConnect(err)
	}
	return &runnerv1.GetPlanResponse{Plan: plan}, nil
}

// FetchModule sends the bytes of a module. Each lane can fetch a few at a time.
// Peers that do not prove that they have a lane share two slots.
func (h *Hub) FetchModule(ctx context.Context, req *runnerv1.FetchModuleRequest, stream *connect.ServerStream[runnerv1.FetchModuleResponse]) error {
	if !names.ValidDigest(req.Digest) {
		return faultrpc.ToConnect(fault.New(fault.RequestInvalid, "a module digest has 64 hexadecimal digits, not %q", clip(req.Digest)))
	}
	from := requestOf(ctx)
	if from == nil {
		return noHandler()
	}
	slots := h.strangers
	if from.lane != nil {
		slots = from.lane.modules
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return faultrpc.ToConnect(fault.FromError(ctx.Err()))
	}
	if req.From != nil {
		chunks, ok := h.cfg.Source.(executor.ChunkSource)
		if !ok {
			return faultrpc.ToConnect(fault.New(fault.Unimplemented, "this core does not store modules in chunks"))
		}
		return sendChunks(ctx, chunks, req, stream)
	}
	r, err := h.cfg.Source.Module(ctx, req.Digest)
	if err != nil {
		return faultrpc.ToConnect(err)
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
			return faultrpc.ToConnect(err)
		}
	}
}

// sendChunks sends the chunks of a module as they are stored, from a place on. It
// holds one chunk at a time.
func sendChunks(ctx context.Context, src executor.ChunkSource, req *runnerv1.FetchModuleRequest, stream *connect.ServerStream[runnerv1.FetchModuleResponse]) error {
	if req.Verify {
		if err := src.Verify(ctx, req.Digest); err != nil {
			return faultrpc.ToConnect(err)
		}
	}
	offset := int64(req.From.GetOffset())
	for i, count := int64(req.From.GetIndex()), int64(1<<31); i < count; i, offset = i+1, 0 {
		packed, n, release, err := src.Chunk(ctx, req.Digest, int(i))
		if err != nil {
			return faultrpc.ToConnect(err)
		}
		err = sendChunk(stream, &runnerv1.ModuleChunk{Index: uint32(i), Size: uint32(len(packed)), Count: uint32(n)}, packed, offset)
		release()
		if err != nil {
			return err
		}
		count = int64(n)
	}
	return nil
}

// sendChunk sends a chunk from an offset on. An offset after its end sends
// nothing: the runner finds that its own bytes are not those of the chunk.
func sendChunk(stream *connect.ServerStream[runnerv1.FetchModuleResponse], at *runnerv1.ModuleChunk, packed []byte, offset int64) error {
	for offset < int64(len(packed)) {
		piece := packed[offset:min(offset+pieceSize, int64(len(packed)))]
		at.Offset = uint32(offset)
		if err := stream.Send(&runnerv1.FetchModuleResponse{Data: piece, Chunk: at}); err != nil {
			return err
		}
		offset += int64(len(piece))
	}
	return nil
}

// FetchInput sends the input of a call to the runner that executes the call.
func (h *Hub) FetchInput(ctx context.Context, req *runnerv1.FetchInputRequest, stream *connect.ServerStream[runnerv1.FetchInputResponse]) error {
	from, l := requestOf(ctx), h.lane(req.Lane)
	if from == nil {
		return noHandler()
	}
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

// FetchBody sends the rest of the body of a call as it arrives from the caller.
func (h *Hub) FetchBody(ctx context.Context, req *runnerv1.FetchBodyRequest, to *connect.ServerStream[runnerv1.FetchBodyResponse]) error {
	from, s := h.stream(ctx, req.Lane, req.Id)
	if s == nil {
		return noCall()
	}
	return s.ServeBody(ctx, from.rc, to)
}

// PushAnswer receives the answer of a call as the guest writes it. A frame on the
// lane follows and answers the call.
func (h *Hub) PushAnswer(ctx context.Context, answer *connect.ClientStream[runnerv1.PushAnswerRequest]) (*runnerv1.PushAnswerResponse, error) {
	if !answer.Receive() {
		return nil, cmp.Or(answer.Err(), noCall())
	}
	from, s := h.stream(ctx, answer.Msg().Lane, answer.Msg().Id)
	if s == nil {
		return nil, noCall()
	}
	return &runnerv1.PushAnswerResponse{}, s.ServeAnswer(from.rc, answer)
}

// stream returns what streams in a call of the lane whose secret was sent, and that
// of the header, too; nil if there is no such call.
func (h *Hub) stream(ctx context.Context, lane string, id uint64) (*request, *stream.Call) {
	from := requestOf(ctx)
	if from == nil || from.lane == nil || from.lane != h.lane(lane) {
		return nil, nil
	}
	return from, from.lane.pending.stream(id)
}

// noCall returns the same error for an unknown lane, an unknown call and a
// finished call, so that guessing reveals nothing.
func noCall() error {
	return connect.NewError(connect.CodeNotFound, errors.New("no such call on this lane"))
}
