package api

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"unicode/utf8"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/core/api/value"
	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/middleware"
	"github.com/ruedo-dev/ruedo/internal/names"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// maxContentType bounds the media type of an input, in bytes.
const maxContentType = 255

type invokeService struct {
	invoker interface {
		Begin(service string) (invoke.Call, error)
	}
	turns middleware.Turns
}

// handler returns what the generated constructor would return, except that
// requests and answers have their own codecs; see invocation.
func (s *invokeService) handler(opts ...connect.HandlerOption) (string, http.Handler) {
	method := ruedov1.File_ruedo_v1_invoke_proto.Services().ByName("InvokeService").Methods().ByName("Invoke")
	opts = append(opts, connect.WithSchema(method))
	for _, name := range []string{"proto", "json", "json; charset=utf-8"} {
		opts = append(opts, connect.WithCodec(invocationCodec{name, s.turns, s.invoker.Begin}))
	}
	return ruedov1connect.InvokeServiceInvokeProcedure,
		connect.NewUnaryHandlerSimple(ruedov1connect.InvokeServiceInvokeProcedure, s.Invoke, opts...)
}

// Invoke calls a service.
func (s *invokeService) Invoke(ctx context.Context, req *invocation) (*answer, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	if req.refused != nil {
		return nil, req.refused
	}
	if err := req.refusal(); err != nil {
		return nil, err
	}
	in := invoke.Input{Body: req.input, ContentType: req.contentType, Logs: req.logs}
	if req.typed {
		in.ContentType = invoke.JSON
	}
	res, err := req.call.Do(ctx, in)
	if err != nil {
		return nil, err
	}
	a := &answer{output: res.Output, typed: req.typed && isJSON(res), contentType: res.ContentType, info: res.Info}
	if err := port.Hold(ctx, a.size(req.binary)); err != nil {
		return nil, res.Undelivered(err)
	}
	return a, nil
}

// refusal returns what is wrong with a typed input, or nil.
func (r *invocation) refusal() error {
	switch {
	case r.wrong == nil:
		return nil
	case errors.Is(r.wrong, value.ErrTooLong) && r.size > 0:
		return r.call.TooLarge(strconv.Itoa(r.size) + " bytes")
	case errors.Is(r.wrong, value.ErrTooLong):
		return r.call.TooLarge("more than " + strconv.FormatUint(r.call.InputLimit(), 10) + " bytes")
	case errors.Is(r.wrong, errNoJSON):
		return fault.New(fault.RequestInvalid, "the request is not valid: its input is not a JSON value")
	}
	return fault.Wrap(r.wrong, fault.InputInvalid, "the input of service %s is not a value: %s", r.service, r.wrong)
}

// check checks a request against the rules of its message.
func (r *invocation) check() error {
	e := fault.New(fault.RequestInvalid, "the request is not valid")
	if !names.Valid(r.service) {
		e.Fields = append(e.Fields, fault.Field{Path: "service", Description: "does not match the pattern " + names.Pattern})
	}
	if n := utf8.RuneCountInString(r.contentType); n > maxContentType {
		e.Fields = append(e.Fields, fault.Field{Path: "content_type", Description: "must be at most " + strconv.Itoa(maxContentType) + " characters"})
	}
	if len(e.Fields) > 0 {
		return e
	}
	return nil
}

func isJSON(res *invoke.Result) bool {
	mt, _, err := mime.ParseMediaType(res.ContentType)
	return err == nil && mt == invoke.JSON
}
