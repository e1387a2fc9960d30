package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/ruedo-dev/ruedo/sdk/internal/entry"
)

// call is the context of one call: it holds what surrounds the body.
type call struct {
	context.Context
	id          string
	caller      string
	contentType string // of the input
	outputType  string // of the output
	alone       bool   // no other call is in flight, and nobody keeps its output
}

type callKey struct{}

// Value returns the call itself to those who ask for it.
func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// CallID returns the id of the call that ctx belongs to, which is also in the
// caller's response and in the logs of core and runner. It is empty outside a
// call.
func CallID(ctx context.Context) string {
	if c := callOf(ctx); c != nil {
		return c.id
	}
	return ""
}

// Caller returns who called, as the cluster knows them: a sort and a name, such as
// "user/ada", or "anonymous" for a caller who has shown nothing. It works in functions,
// and with the context of a request to a service of package web.
//
// It is empty if nobody was asked: in a cluster without login, outside a call, and on
// your own machine. On a runner that does not know callers yet, it is empty, too, so
// treat "" as a stranger. Whether the caller may call the service at all was decided
// before.
func Caller(ctx context.Context) string {
	if caller, ok := ctx.Value(entry.Caller{}).(string); ok {
		return caller
	}
	if c := callOf(ctx); c != nil {
		return c.caller
	}
	return ""
}

// ContentType returns the content type of the input as the caller declared it,
// or "" if the caller declared none.
func ContentType(ctx context.Context) string {
	if c := callOf(ctx); c != nil {
		return c.contentType
	}
	return ""
}

// SetContentType sets the content type of the output, such as "image/png". The
// last value set before the handler returns is sent. It does nothing outside a
// call, and must be called on the handler's own goroutine.
func SetContentType(ctx context.Context, contentType string) {
	if c := callOf(ctx); c != nil {
		c.outputType = contentType
	}
}

// do makes one call. The error is an *Error.
func (s *service) do(ctx context.Context, req Request) (Response, error) {
	return s.answer(&call{Context: ctx, id: req.ID, caller: req.Caller, contentType: req.ContentType}, req.Input)
}

// answer makes one call. The output of one that is alone is valid until the next.
func (s *service) answer(c *call, input []byte) (Response, error) {
	if s.handle == nil {
		return Response{}, Errorf(Unimplemented, "this service has no handler: %s", noHandlerFix)
	}
	s.runWarm()
	out, err := protect(s.handle, c, input)
	if err != nil {
		return Response{}, asError(err)
	}
	return Response{ContentType: c.outputType, Output: out}, nil
}

const noHandlerFix = "call sdk.Handle or sdk.HandleBytes in an init function (main does not run in a module), or web.Serve to serve HTTP"

// protect runs a handler and turns its panic into an error.
func protect(handle bytesHandler, ctx context.Context, in []byte) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, Errorf(Internal, "the service panicked: %v", p)
			logPanic(p, debug.Stack())
		}
	}()
	return handle(ctx, in)
}

// logPanic writes a panic line by line, because one log entry is one line.
func logPanic(p any, stack []byte) {
	writeLog(slog.LevelError, oneLine(fmt.Sprintf("panic: %v", p)))
	// Only the handler's own frames: above them is the recovery, below them are
	// this package and the host's entry.
	own := string(stack)
	if _, after, ok := strings.Cut(own, "\npanic("); ok {
		own = "panic(" + after
	}
	own, _, _ = strings.Cut(own, "\ngithub.com/ruedo-dev/ruedo/sdk.protect(")
	for line := range strings.Lines(own) {
		writeLog(slog.LevelError, oneLine(strings.TrimRight(line, "\n")))
	}
}
