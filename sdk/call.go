package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
)

// call is what is around the body of one call. It travels in the context.
type call struct {
	id          string
	contentType string // of the input
	outputType  string // of the output
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// CallID gives the id of the call that ctx belongs to, which is also in the
// caller's answer and in the logs of core and runner. It is empty outside a
// call.
func CallID(ctx context.Context) string {
	if c := callOf(ctx); c != nil {
		return c.id
	}
	return ""
}

// ContentType gives the content type of the input, as the caller stated it;
// empty where none was stated.
func ContentType(ctx context.Context) string {
	if c := callOf(ctx); c != nil {
		return c.contentType
	}
	return ""
}

// SetContentType states the content type of the output, such as "image/png".
// The last one set by the time the handler returns is sent. It does nothing
// outside a call, and is to be called from the handler's own goroutine.
func SetContentType(ctx context.Context, contentType string) {
	if c := callOf(ctx); c != nil {
		c.outputType = contentType
	}
}

// do makes one call. The error is an *Error.
func (s *service) do(ctx context.Context, req Request) (Response, error) {
	if s.handle == nil {
		return Response{}, Errorf(Unimplemented, "this service has no handler: %s", noHandlerFix)
	}
	s.runWarm()
	c := &call{id: req.ID, contentType: req.ContentType}
	out, err := protect(s.handle, context.WithValue(ctx, callKey{}, c), req.Input)
	if err != nil {
		return Response{}, asError(err)
	}
	return Response{ContentType: c.outputType, Output: out}, nil
}

const noHandlerFix = "call sdk.Handle or sdk.HandleBytes in an init function (main does not run in a module)"

// protect runs a handler and makes an error of its panic.
func protect(handle bytesHandler, ctx context.Context, in []byte) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, Errorf(Internal, "the service panicked: %v", p)
			logPanic(p, debug.Stack())
		}
	}()
	return handle(ctx, in)
}

// logPanic writes a panic line by line: one log entry is one line.
func logPanic(p any, stack []byte) {
	writeLog(slog.LevelError, oneLine(fmt.Sprintf("panic: %v", p)))
	// Only the handler's own part: above it is the recovering, below it are
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
