package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/cores"
)

// Problem holds the parts of an error of this package.
type Problem struct {
	// Reason is a stable word in capitals, for example "SERVICE_NOT_FOUND".
	Reason string
	// Code is the Connect code.
	Code connect.Code
	// Message says what failed.
	Message string
	// Fix says what to do. It can be empty.
	Fix string
	// Fields lists what is wrong with an input: the path in the input and what is
	// expected there.
	Fields map[string]string
	// NotStarted is true if the call provably did not begin to execute, so that it
	// can be sent again.
	NotStarted bool
	// RetryAfter is how long to wait before the request is sent again; zero means
	// that it would fail again. It does not say that a retry is safe.
	RetryAfter time.Duration
}

// Explain returns the parts of an error of this package. Any other error is
// INTERNAL.
func Explain(err error) Problem {
	e := faultrpc.FromError(err)
	p := Problem{Reason: string(e.Reason), Code: connect.Code(e.ConnectCode()), Message: e.Error(), Fix: e.Fix, NotStarted: e.NotStarted, RetryAfter: e.RetryDelay()}
	for _, f := range e.Fields {
		if p.Fields == nil {
			p.Fields = make(map[string]string, len(e.Fields))
		}
		p.Fields[f.Path] = f.Description
	}
	return p
}

// explainer turns errors from the wire into *fault.Error.
type explainer struct{ cores *cores.Cores }

var _ connect.Interceptor = explainer{}

func (x explainer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err != nil {
			return nil, x.explain(err)
		}
		return res, nil
	}
}

func (x explainer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		return explainedConn{next(ctx, spec), x}
	}
}

func (x explainer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

type explainedConn struct {
	connect.StreamingClientConn
	x explainer
}

func (c explainedConn) Send(m any) error    { return c.x.stream(c.StreamingClientConn.Send(m)) }
func (c explainedConn) Receive(m any) error { return c.x.stream(c.StreamingClientConn.Receive(m)) }

// stream passes io.EOF on unchanged: connect-go uses it for the end of a
// stream.
func (x explainer) stream(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return x.explain(err)
}

func (x explainer) explain(err error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	ce, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return faultrpc.FromError(err)
	}
	at := x.cores.Shown()
	failed, unanswered := errors.AsType[*cores.Error](err)
	if unanswered {
		at = failed.Attempts[len(failed.Attempts)-1].URL
	}
	if connect.IsWireError(err) {
		e := faultrpc.FromConnect(ce)
		if len(ce.Details()) == 0 && e.Reason == fault.CoreUnreachable {
			return unreachable(err, at, "the core at %s does not answer now: %s", at, ce.Message())
		}
		if e.Reason == fault.ClusterMismatch && x.cores.Len() > 1 {
			e.Message += " (the core at " + at + ")"
		}
		if len(e.Fields) > 0 {
			return &fieldsError{e}
		}
		return e
	}
	code := ce.Code()
	if code == connect.CodeCanceled && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
		code = connect.CodeUnavailable // connect-go takes it for a caller that went away
	}
	switch code {
	case connect.CodeUnavailable:
		if unanswered && failed.NotSent {
			e := unreachable(err, at, "no core answers at %s", failed.Tried())
			e.NotStarted = true
			return e
		}
		return unreachable(err, at, "the connection to the core at %s broke: %s", at, ce.Message())
	case connect.CodeUnimplemented, connect.CodeUnknown, connect.CodeInternal:
		// Not from a core: another HTTP server answered.
		return notCore(err, at, ce.Message())
	}
	return faultrpc.FromConnect(ce)
}

// notCore returns the error for an answer that no core gives.
func notCore(err error, at, says string) *fault.Error {
	if strings.HasPrefix(at, "http://") && strings.Contains(says, "400") { // as servers with TLS say
		says += "; if it has TLS, its URL begins with https"
	}
	return unreachable(err, at, "what answers at %s is not a core: %s", at, says)
}

func unreachable(err error, at, format string, args ...any) *fault.Error {
	return fault.Wrap(err, fault.CoreUnreachable, format, args...).
		WithFix("start a core there, or use the address of one that runs").
		With("url", at)
}

// fieldsError is an error whose text names the fields of an input that are
// wrong.
type fieldsError struct{ err *fault.Error }

// maxShown is how many fields a text names.
const maxShown = 5

func (e *fieldsError) Error() string {
	text := e.err.Error()
	for i, f := range e.err.Fields {
		if i == maxShown {
			return fmt.Sprintf("%s; and %d more", text, len(e.err.Fields)-i)
		}
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		text += sep + f.Path + " " + f.Description
	}
	return text
}

func (e *fieldsError) Unwrap() error { return e.err }
