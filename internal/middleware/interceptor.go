package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	connectvalidate "connectrpc.com/validate"
	"github.com/oklog/ulid/v2"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// minCompressed is the minimum size of answers that are compressed, in bytes. A
// compressor takes a megabyte, and an answer that fits a packet gains nothing.
const minCompressed = 1 << 10

// Chain is the set of layers around the handler of one procedure.
type Chain struct {
	// Procedure is its full name, for logs.
	Procedure string
	// MaxBytes bounds one message of a request, inflated.
	MaxBytes int
	// Rule checks whether a request may call the procedure, before its message is
	// validated. Nil checks nothing.
	Rule connect.HandlerOption
	// Unchecked leaves the validation of messages to the handler.
	Unchecked bool
	// Turns are shared by all handlers; nil means that no work waits for a
	// turn.
	Turns Turns
	// Count is called once for each request before it is answered, with the
	// reason of its failure, or "" for success. Many goroutines call it at the
	// same time.
	Count func(ctx context.Context, outcome fault.Reason)
	// Logger gets internal errors.
	Logger *slog.Logger
}

// Options returns the chain as options of a handler.
func (c Chain) Options() []connect.HandlerOption {
	i := &errorInterceptor{c.Logger, c.Count}
	opts := []connect.HandlerOption{
		connect.WithReadMaxBytes(c.MaxBytes),
		connect.WithCompressMinBytes(minCompressed),
		boundedGzip(c.MaxBytes, c.Turns),
		withJSON(),
		connect.WithRecover(func(ctx context.Context, _ connect.Spec, _ http.Header, p any) error {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			return i.toConnect(ctx, c.Procedure, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}),
		connect.WithInterceptors(i),
	}
	if c.Rule != nil {
		opts = append(opts, c.Rule)
	}
	if !c.Unchecked {
		opts = append(opts, connect.WithInterceptors(connectvalidate.NewInterceptor()))
	}
	return opts
}

// errorInterceptor turns what handlers return into errors with a reason. It is
// the only place that logs them (only those whose text callers do not see) and
// that counts the outcome of a request.
type errorInterceptor struct {
	log   *slog.Logger
	count func(ctx context.Context, outcome fault.Reason)
}

func (i *errorInterceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err != nil {
			return nil, i.toConnect(ctx, req.Spec().Procedure, err)
		}
		i.count(ctx, "")
		return res, nil
	}
}

func (i *errorInterceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (i *errorInterceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := next(ctx, conn); err != nil {
			return i.toConnect(ctx, conn.Spec().Procedure, err)
		}
		i.count(ctx, "")
		return nil
	}
}

func (i *errorInterceptor) toConnect(ctx context.Context, procedure string, err error) error {
	public := Public(i.log, procedure, err)
	i.count(ctx, public.Reason)
	return faultrpc.ToConnect(public)
}

// Public returns the error that a caller may see. It has a reason; without one,
// it is INTERNAL with the id of the log line that says more.
func Public(log *slog.Logger, where string, err error) *fault.Error {
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Reason != fault.Internal {
		return e
	}
	if ce, ok := errors.AsType[*connect.Error](err); ok && callersFault(ce) {
		return invalidRequest(ce)
	}
	e := faultrpc.FromError(err)
	if e.Reason == fault.Internal {
		return internal(log, where, err)
	}
	return e
}

// callersFault reports whether Connect itself refused a request because it
// violates the rules of its message or of the protocol.
func callersFault(ce *connect.Error) bool {
	switch ce.Code() {
	case connect.CodeInvalidArgument:
		return !faultrpc.Ours(ce)
	case connect.CodeInternal:
		return strings.HasPrefix(ce.Message(), "protocol error") && !faultrpc.Ours(ce)
	}
	return false
}

func internal(log *slog.Logger, where string, err error) *fault.Error {
	id := ulid.Make().String()
	log.Error("internal error", "in", where, "id", id, "error", err)
	return fault.Wrap(err, fault.Internal, "internal error; the log of the core has it under id %s", id).With("id", id)
}

// invalidRequest returns an error that names the fields that violate the rules
// of a message.
func invalidRequest(ce *connect.Error) *fault.Error {
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
