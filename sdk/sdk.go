// Package sdk is the library for Ruedo services written in Go.
//
// Start with [Handle], called from an init function:
//
//	package main
//
//	import (
//		"context"
//
//		"github.com/ruedo-dev/ruedo/sdk"
//	)
//
//	type Order struct {
//		Item string `json:"item"`
//	}
//
//	type Receipt struct {
//		Text string `json:"text"`
//	}
//
//	func init() { sdk.Handle(take) }
//
//	func take(ctx context.Context, in Order) (Receipt, error) {
//		if in.Item == "" {
//			return Receipt{}, sdk.Errorf(sdk.InvalidArgument, "item is empty: name what you order")
//		}
//		return Receipt{Text: "one " + in.Item}, nil
//	}
//
//	func main() { sdk.Main() }
//
// `ruedo build` compiles it to a module, which is the same as
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o order.wasm .
//
// In a module only the init functions run, never main: a handler that main
// registers is not found. On your own machine the same file is an ordinary
// program: `go run . < order.json` serves one call from stdin to stdout, and a
// test calls [Call] or [Do], without a sandbox.
//
// # Handlers
//
// A service has one handler. [Handle] decodes and encodes JSON by the types of
// its function; [HandleBytes] passes the bytes as they are. Registering a
// second handler panics, so that publishing the module fails with the reason.
// [Caller], [CallID], [ContentType] and [SetContentType] give access to what
// surrounds the body. A guest runs one call at a time, and at the start of each call
// memory is as it was after the inits and [Warm]: variables do not keep what a
// call leaves in them.
//
// # Errors
//
// An error made by [Errorf] reaches the caller with its code and text. Any
// other error is sent as [Unknown] with its text: callers read what it says.
// Input that is not JSON, or does not fit the type, is refused with
// [InvalidArgument] and its position, before the handler runs.
//
// A panic in a handler ends that call with [Internal] and the panic's text; the
// stack is logged. Go cannot catch a panic in a goroutine that the handler
// started: the guest traps, and the runtime's last message is in the log.
// os.Exit fails the call as well, whatever the code.
//
// # Time and logs
//
// The context carries no deadline: the host stops a guest that has run out of
// time, wherever it is. In a module, log/slog and log write to the log of the
// call, with levels and attributes, from Info up; [LogHandler] lowers that.
// What is written to stdout or stderr is logged as well. On your own machine
// both are left unchanged.
//
// # Size
//
// A guest pays for every import. This package uses only the standard library
// and takes about 4 MB of module, most of it the Go runtime, fmt and
// encoding/json.
package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"

	"github.com/ruedo-dev/ruedo/sdk/internal/entry"
)

// Handle registers the service's handler: JSON in, JSON out.
//
// The input is decoded into In as by encoding/json, which ignores unknown fields;
// the schema that ruedo publish makes of In refuses them. An empty input is an
// error, unless In is struct{}. The output has content type application/json,
// unless the handler sets another. Call it once, in an init function; a second
// handler, or nil, panics.
//
// For the body as it arrived use [HandleBytes]: In = []byte is a JSON string in
// base64.
func Handle[In, Out any](handle func(ctx context.Context, in In) (Out, error)) {
	if handle == nil {
		misuse("Handle: the handler is nil")
	}
	by := caller()
	claim("Handle", by)
	registered.register("Handle", by, typed(handle), fillCaches[In, Out])
}

// HandleBytes registers the service's handler: bytes in, bytes out.
//
// The handler may modify and keep the input. The output is sent as it is, with
// the content type of [SetContentType], or none. Call it once, in an init
// function; a second handler, or nil, panics.
func HandleBytes(handle func(ctx context.Context, in []byte) ([]byte, error)) {
	if handle == nil {
		misuse("HandleBytes: the handler is nil")
	}
	by := caller()
	claim("HandleBytes", by)
	registered.register("HandleBytes", by, handle, nil)
}

// Warm registers work to be done once, after all inits and before the first
// call: fill caches, parse tables. Its result is part of the memory that every
// call starts from. Several functions run in the order in which they were
// registered. A panic in one fails the publish.
func Warm(warm func()) {
	if warm == nil {
		misuse("Warm: the function is nil")
	}
	registered.addWarm(warm)
}

// Call makes one call of the registered handler, in this process: for tests. It
// is [Do] with only a body.
func Call(ctx context.Context, input []byte) ([]byte, error) {
	res, err := Do(ctx, Request{Input: input})
	return res.Output, err
}

// Do makes one call of the registered handler, in this process: for tests that
// check more than the body. The functions given to [Warm] are run before the
// first one. The error is an *[Error], as the caller of the service would see
// it, even if the handler panics. Do is safe for concurrent use if the handler
// is.
func Do(ctx context.Context, req Request) (Response, error) {
	return registered.do(ctx, req)
}

// Request is the input of a call.
type Request struct {
	// ID is the id of the call, which [CallID] returns.
	ID string
	// Caller is who calls, which [Caller] returns; it can be empty.
	Caller string
	// ContentType is the content type that the caller declared; it can be empty.
	ContentType string
	Input       []byte
}

// Response is the result of a call.
type Response struct {
	// ContentType is the content type that the handler set; it can be empty.
	ContentType string
	Output      []byte
}

// bytesHandler is the common form of all handlers.
type bytesHandler func(ctx context.Context, in []byte) ([]byte, error)

// service is a handler and the functions that warm it up.
type service struct {
	handle bytesHandler
	by     string // function and place that registered handle
	typed  bool   // handle keeps nothing of its input
	warm   []func()
	once   sync.Once
}

// registered is the service of this program. It has to be a global: in a module
// only the inits run before the host calls the exports, so there is no main
// that could pass a service on.
var registered service

func (s *service) register(fn, place string, handle bytesHandler, warm func()) {
	by := fn + " at " + place
	if s.handle != nil {
		misuse(fmt.Sprintf("a service has one handler: %s comes after %s", by, s.by))
	}
	s.handle, s.by = handle, by
	if warm != nil {
		// Before the author's own functions, which can call the handler.
		s.typed, s.warm = true, append([]func(){warm}, s.warm...)
	}
}

func (s *service) addWarm(warm func()) { s.warm = append(s.warm, warm) }

// runWarm runs the Warm functions, the first time that it is called.
func (s *service) runWarm() {
	s.once.Do(func() {
		for _, warm := range s.warm {
			warm()
		}
	})
}

// claim makes sure that no other package has registered a handler.
func claim(fn, place string) {
	by := fn + " at " + place
	if before := entry.Claim(by); before != "" {
		misuse(fmt.Sprintf("a service has one handler: %s comes after %s", by, before))
	}
}

// caller returns the place outside this package that called an exported
// function.
func caller() string {
	_, file, line, ok := runtime.Caller(2)
	if !ok {
		return "an unknown place"
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// fillCaches makes encoding/json learn the two types, which it does when each
// is first used. So it happens before the first call.
func fillCaches[In, Out any]() {
	// A type's own MarshalJSON can fail for a zero value, which does not matter
	// here.
	defer func() { _ = recover() }()
	_ = json.Unmarshal([]byte("{}"), new(In))
	_, _ = json.Marshal(*new(Out))
}
