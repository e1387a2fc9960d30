package lane

import (
	"context"
	"io"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
)

// source is the executor.Source that gets plans and modules from the core.
type source struct {
	bodies runnerv1connect.RunnerServiceClient
	core   string
	secret string
	chunks bool // the core sends modules in chunks
}

var _ executor.Source = (*source)(nil)

func (s *source) Plan(ctx context.Context, id string) (*runnerv1.Plan, error) {
	res, err := s.bodies.GetPlan(protocol.WithSecret(ctx, s.secret), &runnerv1.GetPlanRequest{Id: id})
	if err != nil {
		return nil, cutError(faultrpc.FromError(err))
	}
	if res.Plan == nil {
		return nil, fault.New(fault.PlanNotFound, "the core at %s sent no plan %s", s.core, id)
	}
	return res.Plan, nil
}

func (s *source) Module(ctx context.Context, digest string) (io.ReadCloser, error) {
	r := &moduleReader{source: s, ctx: ctx, digest: digest}
	if s.chunks {
		return &chunkedModule{r}, nil
	}
	return r, nil
}

// fetch begins to fetch a module. The caller closes the stream and then calls
// cancel.
func (s *source) fetch(ctx context.Context, req *runnerv1.FetchModuleRequest) (*connect.ServerStreamForClient[runnerv1.FetchModuleResponse], context.CancelFunc, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := s.bodies.FetchModule(protocol.WithSecret(ctx, s.secret), req)
	if err != nil {
		cancel()
		return nil, nil, cutError(faultrpc.FromError(err))
	}
	return stream, cancel, nil
}

// moduleReader reads a module as one stream, which begins with the first Read.
type moduleReader struct {
	source *source
	ctx    context.Context
	digest string
	stream *connect.ServerStreamForClient[runnerv1.FetchModuleResponse] // nil before
	cancel context.CancelFunc
	rest   []byte
}

func (r *moduleReader) Read(p []byte) (n int, err error) {
	if r.stream == nil {
		if r.stream, r.cancel, err = r.source.fetch(r.ctx, &runnerv1.FetchModuleRequest{Digest: r.digest}); err != nil {
			return 0, err
		}
	}
	for len(r.rest) == 0 {
		if !r.stream.Receive() {
			if err := r.stream.Err(); err != nil {
				return 0, cutError(faultrpc.FromError(err))
			}
			return 0, io.EOF
		}
		r.rest = r.stream.Msg().Data
	}
	n = copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *moduleReader) Close() error {
	if r.stream == nil {
		return nil
	}
	r.cancel()
	return r.stream.Close()
}

// chunkedModule is a module that the core sends in chunks.
type chunkedModule struct{ *moduleReader }

var _ executor.Chunked = (*chunkedModule)(nil)

func (m *chunkedModule) Pieces(ctx context.Context, from *runnerv1.ModuleChunk, verify bool, take func(*runnerv1.ModuleChunk, []byte) error) error {
	stream, cancel, err := m.source.fetch(ctx, &runnerv1.FetchModuleRequest{Digest: m.digest, From: from, Verify: verify})
	if err != nil {
		return err
	}
	defer stream.Close()
	defer cancel()
	for stream.Receive() {
		msg := stream.Msg()
		if msg.Chunk == nil {
			return fault.New(fault.Integrity, "the core at %s sent a module without its chunks", m.source.core)
		}
		if err := take(msg.Chunk, msg.Data); err != nil {
			return err
		}
	}
	if err := stream.Err(); err != nil {
		return cutError(faultrpc.FromError(err))
	}
	return nil
}
