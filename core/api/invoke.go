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
	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/wire"
)

// maxContentType bounds the media type of an input, in bytes.
const maxContentType = 255

type invokeService struct {
	hall  *invoke.Hall
	turns wire.Turns
}

// handler is what the generated constructor would make, but that requests and
// answers are read and written by codecs of their own: see invocation.
func (s *invokeService) handler(opts ...connect.HandlerOption) (string, http.Handler) {
	method := ruedov1.File_ruedo_v1_invoke_proto.Services().ByName("InvokeService").Methods().ByName("Invoke")
	opts = append(opts, connect.WithSchema(method))
	for _, name := range []string{"proto", "json", "json; charset=utf-8"} {
		opts = append(opts, connect.WithCodec(invocationCodec{name, s.turns, s.limit}))
	}
	return ruedov1connect.InvokeServiceInvokeProcedure,
		connect.NewUnaryHandlerSimple(ruedov1connect.InvokeServiceInvokeProcedure, s.Invoke, opts...)
}

// Invoke calls a service.
func (s *invokeService) Invoke(ctx context.Context, req *invocation) (*answer, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	entry, err := s.hall.Resolve(req.service)
	if err != nil {
		return nil, err
	}
	if err := req.refusal(entry.Rules); err != nil {
		return nil, err
	}
	call := &invoke.Call{Service: req.service, Input: req.input, ContentType: req.contentType, Logs: req.logs}
	if req.typed {
		call.ContentType = invoke.JSON
	}
	res, err := s.hall.Invoke(ctx, call)
	if err != nil {
		return nil, err
	}
	a := &answer{output: res.Output, typed: req.typed && isJSON(res), contentType: res.ContentType, info: res.Info}
	if err := port.Hold(ctx, a.size(req.binary)); err != nil {
		return nil, res.Undelivered(err)
	}
	return a, nil
}

// limit is the largest input of a service, in bytes; 0 if there is no such
// service.
func (s *invokeService) limit(service string) uint64 {
	entry, err := s.hall.Resolve(service)
	if err != nil {
		return 0
	}
	return entry.Rules.Limits.GetInputBytes()
}

// refusal says what is wrong with a typed input, if something is.
func (r *invocation) refusal(rules *decorate.Rules) error {
	switch {
	case r.wrong == nil:
		return nil
	case errors.Is(r.wrong, value.ErrTooLong) && r.size > 0:
		return rules.TooLarge(r.service, strconv.Itoa(r.size)+" bytes")
	case errors.Is(r.wrong, value.ErrTooLong):
		return rules.TooLarge(r.service, "more than "+strconv.FormatUint(rules.Limits.GetInputBytes(), 10)+" bytes")
	case errors.Is(r.wrong, errNoJSON):
		return fault.New(fault.RequestInvalid, "the request is not valid: its input is not a JSON value")
	}
	return fault.Wrap(r.wrong, fault.InputInvalid, "the input of service %s is not a value: %s", r.service, r.wrong)
}

// check holds a request against the rules of its message.
func (r *invocation) check() error {
	e := fault.New(fault.RequestInvalid, "the request is not valid")
	if !keys.ValidName(r.service) {
		e.Fields = append(e.Fields, fault.Field{Path: "service", Description: "does not match the pattern ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"})
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
