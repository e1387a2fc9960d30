// Package invocation is the handler of InvokeService: calls over Connect, gRPC and
// JSON. It reads requests and writes answers without making objects of their
// values, in the format of ruedo/v1/invoke.proto.
package invocation

import (
	"context"
	"mime"
	"net/http"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/middleware"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// Service answers calls. All fields are required.
type Service struct {
	Invoker interface {
		Begin(ctx context.Context, service string) (invoke.Call, error)
		InputLimit(service string) uint64
	}
	Turns middleware.Turns
}

// Handler returns what the generated constructor would return, except that
// requests and answers have their own codecs.
func (s *Service) Handler(opts ...connect.HandlerOption) (string, http.Handler) {
	method := ruedov1.File_ruedo_v1_invoke_proto.Services().ByName("InvokeService").Methods().ByName("Invoke")
	opts = append([]connect.HandlerOption{connect.WithSchema(method)}, opts...) // which says what those are about
	for _, name := range []string{"proto", "json", "json; charset=utf-8"} {
		opts = append(opts, connect.WithCodec(codec{name, s.Turns, s.Invoker.InputLimit}))
	}
	return ruedov1connect.InvokeServiceInvokeProcedure,
		connect.NewUnaryHandlerSimple(ruedov1connect.InvokeServiceInvokeProcedure, s.call, opts...)
}

// call calls a service.
func (s *Service) call(ctx context.Context, req *request) (*answer, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	call, err := s.Invoker.Begin(ctx, req.target())
	if err != nil {
		return nil, err
	}
	if err := req.refusal(call); err != nil {
		return nil, err
	}
	in := invoke.Input{Body: req.input, ContentType: req.contentType, Logs: req.logs}
	if req.typed {
		in.ContentType = invoke.JSON
	}
	res, err := call.Do(ctx, in)
	if err != nil {
		return nil, err
	}
	a := &answer{output: res.Output, typed: req.typed && isJSON(res), contentType: res.ContentType, info: res.Info}
	if err := port.Hold(ctx, a.size(req.binary)); err != nil {
		return nil, res.Undelivered(err)
	}
	return a, nil
}

func isJSON(res *invoke.Result) bool {
	if res.ContentType == invoke.JSON {
		return true
	}
	mt, _, err := mime.ParseMediaType(res.ContentType)
	return err == nil && mt == invoke.JSON
}
