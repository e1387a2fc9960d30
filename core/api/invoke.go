package api

import (
	"context"
	"encoding/json"
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
		opts = append(opts, connect.WithCodec(invocationCodec{name, s.turns}))
	}
	return ruedov1connect.InvokeServiceInvokeProcedure,
		connect.NewUnaryHandlerSimple(ruedov1connect.InvokeServiceInvokeProcedure, s.Invoke, opts...)
}

// Invoke calls a service. A typed input becomes JSON only when the limit of the
// service is known.
func (s *invokeService) Invoke(ctx context.Context, req *invocation) (*answer, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	entry, err := s.hall.Resolve(req.service)
	if err != nil {
		return nil, err
	}
	if err := s.typed(entry, req); err != nil {
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

// typed makes JSON of a typed input, or sees that it is, within the limit of the
// service.
func (s *invokeService) typed(entry *invoke.Entry, req *invocation) (err error) {
	limit := entry.Rules.Limits.GetInputBytes()
	defer s.turns.Take(len(req.input) + len(req.value))()
	switch {
	case !req.typed:
		return nil
	case req.value == nil && uint64(len(req.input)) > limit:
		return entry.Rules.TooLarge(req.service, strconv.Itoa(len(req.input))+" bytes")
	case req.value == nil && (!json.Valid(req.input) || !utf8.Valid(req.input)):
		return fault.New(fault.RequestInvalid, "the request is not valid: its input is not a JSON value")
	case req.value == nil:
		return nil
	}
	req.input, err = value.JSON(req.value, limit)
	req.value = nil
	if errors.Is(err, value.ErrTooLong) {
		return entry.Rules.TooLarge(req.service, "more than "+strconv.FormatUint(limit, 10)+" bytes")
	}
	if err != nil {
		return fault.Wrap(err, fault.InputInvalid, "the input of service %s is not a value: %s", req.service, err)
	}
	return nil
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
