// Package sdk is what a Ruedo service in Go is written with.
//
// The first call to make is [Handle], from an init function:
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
// `ruedo build` makes a module of it, which is the same as
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o order.wasm .
//
// In a module only the init functions run, never main: a handler that main
// registers is not found. On your own machine the same file is an ordinary
// program: `go run . < order.json` serves one call from stdin to stdout, and
// a test calls [Call] or [Do], with no sandbox between.
//
// # Handlers
//
// A service has one handler. [Handle] takes and gives JSON by the types of its
// function; [HandleBytes] takes and gives the bytes as they are. Registering
// a second one panics, so that publishing the module fails with the reason.
// [CallID], [ContentType] and [SetContentType] are there for what is around
// the body. A guest runs one call at a time, and memory is as it was after the
// inits and [Warm] whenever a call begins: what a call leaves in a variable is
// not a place to keep things.
//
// # Errors
//
// An error made by [Errorf] reaches the caller with its code and text. Any
// other error is sent as [Unknown] with its text: what it says, callers read.
// Input that is not JSON, or does not fit the type, is answered with
// [InvalidArgument] and the place, before the handler runs.
//
// A panic in a handler ends that call with [Internal] and the panic's text;
// the stack goes to the log. A panic in a goroutine that the handler started
// cannot be caught in Go: the guest traps, and the runtime's last words are in
// the log. os.Exit fails the call as well, with whatever code.
//
// # Time and logs
//
// The context carries no deadline: the host stops a guest that is over its
// time, wherever it is. In a module, log/slog and log write to the log of the
// call, levels and attributes kept, from Info up; [LogHandler] lowers that.
// What is written to stdout or stderr is logged as well. On your own machine
// both are left as they are.
//
// # Size
//
// A guest pays for every import. This package stands on the standard library
// alone and needs about 4 MB of module, most of it the Go runtime, fmt and
// encoding/json.
package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
)

// Handle registers the service's handler: JSON in, JSON out.
//
// The input is decoded into In as encoding/json does it; unknown fields are
// ignored, since what an input may hold is a schema's to say. An empty input
// is an error, unless In is struct{}. The output has content type
// application/json, if the handler sets no other. Call it once, in an init
// function; a second handler, or nil, panics.
//
// For the body as it came use [HandleBytes]: In = []byte is a JSON string in
// base64.
func Handle[In, Out any](handle func(ctx context.Context, in In) (Out, error)) {
	if handle == nil {
		misuse("Handle: the handler is nil")
	}
	registered.register("Handle", caller(), typed(handle), fillCaches[In, Out])
}

// HandleBytes registers the service's handler: bytes in, bytes out.
//
// The input is the handler's own. The output is sent as it is, with the
// content type of [SetContentType], or none. Call it once, in an init
// function; a second handler, or nil, panics.
func HandleBytes(handle func(ctx context.Context, in []byte) ([]byte, error)) {
	if handle == nil {
		misuse("HandleBytes: the handler is nil")
	}
	registered.register("HandleBytes", caller(), handle, nil)
}

// Warm registers work to be done once, after all inits and before the first
// call: fill caches, parse tables. Its result is part of the memory that
// every call starts from. Several are run in the order they were registered.
// A panic in one fails the publish.
func Warm(warm func()) {
	if warm == nil {
		misuse("Warm: the function is nil")
	}
	registered.addWarm(warm)
}

// Call makes one call of the registered handler, in this process: for tests.
// It is [Do] with nothing but a body.
func Call(ctx context.Context, input []byte) ([]byte, error) {
	res, err := Do(ctx, Request{Input: input})
	return res.Output, err
}

// Do makes one call of the registered handler, in this process: for tests
// that look at more than the body. The functions given to [Warm] are run
// before the first one. The error is an *[Error], as the caller of the service
// would see it; a handler that panics gives one as well. Do may be called from
// many goroutines if the handler may.
func Do(ctx context.Context, req Request) (Response, error) {
	return registered.do(ctx, req)
}

// Request is what comes with a call.
type Request struct {
	// ID is the id of the call; what [CallID] gives.
	ID string
	// ContentType is what the caller called the input; may be empty.
	ContentType string
	Input       []byte
}

// Response is what a call gives back.
type Response struct {
	// ContentType is what the handler called its output; may be empty.
	ContentType string
	Output      []byte
}

// bytesHandler is what every handler is in the end.
type bytesHandler func(ctx context.Context, in []byte) ([]byte, error)

// service is a handler and what belongs to it.
type service struct {
	handle bytesHandler
	by     string // function and place that registered handle
	warm   []func()
	once   sync.Once
}

// registered is the service of this program. It has to be a global: in a
// module nothing but the inits runs before the host calls the exports, so
// there is no main that could hand a service over.
var registered service

func (s *service) register(fn, place string, handle bytesHandler, warm func()) {
	by := fn + " at " + place
	if s.handle != nil {
		misuse(fmt.Sprintf("a service has one handler: %s comes after %s", by, s.by))
	}
	s.handle, s.by = handle, by
	if warm != nil {
		// Before the author's own, which may call the handler.
		s.warm = append([]func(){warm}, s.warm...)
	}
}

func (s *service) addWarm(warm func()) { s.warm = append(s.warm, warm) }

// runWarm does the warming, the first time that it is called.
func (s *service) runWarm() {
	s.once.Do(func() {
		for _, warm := range s.warm {
			warm()
		}
	})
}

// caller is the place outside this package that called an exported function.
func caller() string {
	_, file, line, ok := runtime.Caller(2)
	if !ok {
		return "an unknown place"
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// fillCaches makes encoding/json learn the two types, which it does at the
// first use of each: done here, it is done before the first call.
func fillCaches[In, Out any]() {
	// A type's own MarshalJSON need not stand a zero value, and this is not the
	// place where it would matter.
	defer func() { _ = recover() }()
	_ = json.Unmarshal([]byte("{}"), new(In))
	_, _ = json.Marshal(*new(Out))
}
