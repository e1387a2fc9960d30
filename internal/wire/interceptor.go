package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	connectvalidate "connectrpc.com/validate"
	"github.com/oklog/ulid/v2"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// minCompressed is the size from which on answers are compressed, in bytes. A
// compressor is a megabyte, and what fits a packet gains nothing.
const minCompressed = 1 << 10

// HandlerOptions is the onion around every Connect handler. maxBytes bounds one
// message of a request. requests counts what becomes of them; nil counts nothing.
func HandlerOptions(log *slog.Logger, maxBytes int, requests *Requests) []connect.HandlerOption {
	validate := connectvalidate.NewInterceptor()
	return []connect.HandlerOption{
		connect.WithReadMaxBytes(maxBytes),
		connect.WithCompressMinBytes(minCompressed),
		boundedGzip(maxBytes),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			i := &errorInterceptor{log, requests.procedure(spec.Procedure)}
			return []connect.HandlerOption{
				connect.WithRecover(func(_ context.Context, spec connect.Spec, _ http.Header, p any) error {
					if p == http.ErrAbortHandler {
						panic(p)
					}
					return i.wire(spec.Procedure, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
				}),
				connect.WithInterceptors(i, validate),
			}
		}),
	}
}

// errorInterceptor turns what handlers return into errors with a reason. It is
// the one place that logs them, and only those that callers are told nothing of,
// and the one that counts what became of a request.
type errorInterceptor struct {
	log   *slog.Logger
	count func(outcome fault.Reason)
}

func (i *errorInterceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		delete(req.Header(), unread)
		res, err := next(ctx, req)
		if err != nil {
			return nil, i.wire(req.Spec().Procedure, err)
		}
		i.count("")
		return res, nil
	}
}

func (i *errorInterceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (i *errorInterceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		delete(conn.RequestHeader(), unread)
		if err := next(ctx, conn); err != nil {
			return i.wire(conn.Spec().Procedure, err)
		}
		i.count("")
		return nil
	}
}

func (i *errorInterceptor) wire(procedure string, err error) error {
	public := Public(i.log, procedure, err)
	i.count(fault.ReasonOf(public))
	return fault.Wire(public)
}

// Public gives the error that a caller may see: with a reason, and where it has
// none, INTERNAL with the id of the log line that tells more.
func Public(log *slog.Logger, where string, err error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Reason != fault.Internal {
		return err
	}
	if ce, ok := errors.AsType[*connect.Error](err); ok && ce.Code() == connect.CodeInvalidArgument {
		return invalidRequest(ce)
	}
	e := fault.Of(err)
	if e.Reason == fault.Internal {
		return internal(log, where, err)
	}
	return e
}

func internal(log *slog.Logger, where string, err error) error {
	id := ulid.Make().String()
	log.Error("internal error", "in", where, "id", id, "err", err)
	return fault.Wrap(err, fault.Internal, "internal error; the log of the core has it under id %s", id).With("id", id)
}

// invalidRequest names the fields that broke the rules of a message.
func invalidRequest(ce *connect.Error) error {
	e := fault.Wrap(ce, fault.RequestInvalid, "the request is not valid")
	for _, d := range ce.Details() {
		v, err := d.Value()
		if err != nil {
			continue
		}
		violations, ok := v.(*validate.Violations)
		if !ok {
			continue
		}
		for _, f := range violations.GetViolations() {
			e.Fields = append(e.Fields, fault.Field{Path: protovalidate.FieldPathString(f.GetField()), Description: f.GetMessage()})
		}
	}
	if len(e.Fields) == 0 {
		e.Message += ": " + ce.Message()
	}
	return e
}

var _ connect.Interceptor = (*errorInterceptor)(nil)
