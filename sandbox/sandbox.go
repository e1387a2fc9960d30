// Package sandbox runs strangers' WebAssembly and always comes back.
//
// Make one [Engine] per process with [New], a [Template] per revision with
// [Engine.Load], and then any number of calls:
//
//	engine, err := sandbox.New(ctx, sandbox.Config{})
//	template, err := engine.Load(ctx, sandbox.Spec{Wasm: wasm})
//	result, err := template.Call(ctx, sandbox.Request{Input: []byte(`{}`)})
//
// It is a library that knows nothing about the rest of Ruedo: bytes and limits
// go in, bytes or a [*fault.Error] with a stable reason come out.
//
// # Promises
//
//   - A call sees a memory, globals and tables of its own. Nothing that one
//     call wrote can be read by another, however it ended, unless the module's
//     owner asked for [Shared].
//   - Every limit in [Limits] is enforced. The error names the limit that was
//     exceeded, its value and the actual value.
//   - A guest reaches only the host functions of the guest contract and WASI
//     preview 1, with real randomness and clocks of 100 microseconds. It has no
//     files, no network but what the [Opener] of its call opens, and only the
//     environment and arguments of its [Spec].
//   - A guest's trap, exit or hostile argument is an error of that call. Sleeps
//     end with the call and hold no thread.
//   - What guests say (logs, messages, names) is bounded and comes out as valid
//     UTF-8 without control characters, except newline and tab.
//   - A body, an answer and outbound streams are bounded pipes; a guest that waits
//     for them holds no thread. When Call returns, nothing of them is left.
//   - Everything is safe for concurrent use. Close waits for calls in flight.
//
// # How a call gets clean memory
//
// The module is started once and warmed with the example; then a snapshot is taken
// of its memory and globals. An instance that has served a call is put back to it,
// at the price of the pages that the call wrote (package pristine), even if the call
// was stopped. If a guest has more state than that, such as tables that change, each
// call has a new instance that starts on its own. [Isolation] lists the other ways,
// and [Report] says which one is used and why.
//
// # How a guest is stopped
//
// Before it is compiled, a module is rewritten so that it counts its work down
// and asks the host when a slice is used up (package instrument): there it is
// stopped, yields its thread, and is billed (package fuel). Nothing else can stop
// native code; without it one guest would hold up every other call of the process.
// What a guest calls (package hostcall) ends with the call, and it recurses on a
// bounded stack (package stack). Compiling itself happens in a child process that
// can be killed (package compile).
package sandbox

import (
	"io"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/sandbox/fuel"
	"github.com/ruedo-dev/ruedo/sandbox/limit"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// Kind is how a module is called.
type Kind = wasmbin.Kind

// The kinds.
const (
	// Function is a reactor that exports ruedo_call.
	Function = wasmbin.Function
	// HTTP is a Function that also exports ruedo_http: a call is an exchange of HTTP,
	// whose bodies can stream.
	HTTP = wasmbin.HTTP
	// Command is a WASI program: input on stdin, output on stdout.
	Command = wasmbin.Command
)

// Limits of one call.
type Limits = limit.Limits

// What a request of kind http can carry; see package stream.
type (
	// Responder takes an answer that streams.
	Responder = stream.Responder
	// Opener opens the outbound streams of a call.
	Opener = stream.Opener
	// Turn is released while the call waits.
	Turn = fuel.Turn
)

// CPUSlots bound how many guests of a process run at a time; see [Config].
type CPUSlots = fuel.CPUSlots

// NewCPUSlots returns a slot for each processor that Go uses now.
func NewCPUSlots() *CPUSlots { return fuel.NewCPUSlots() }

// Spec is what to load.
type Spec struct {
	// Wasm is the module. It must not be changed.
	Wasm   []byte
	Limits Limits
	// Isolation that is asked for; "" means Pristine.
	Isolation Isolation
	// Env is the environment that the guest sees, but for the caller of a command.
	Env map[string]string
	// Args follow the program's name, which is "service".
	Args []string
	// Example is an input that Load calls the module with, before the snapshot and
	// after it. Nil means none. For kind http, it is the body of a POST to /.
	Example []byte
	// Examples are more of them, for kind http. Each is called with its body whole
	// and streaming.
	Examples []Example
	// Compiled says that the module was compiled before, possibly on another machine:
	// compiling it gets more time.
	Compiled bool
}

// Example is a request of kind http: a head, encoded as package abi says, and a
// body.
type Example struct{ Head, Input []byte }

// Report is what Load learned about a module.
type Report struct {
	Kind Kind
	// Isolation that is used, and why it is not the one that was asked for.
	Isolation       Isolation
	IsolationReason string
	// Compile is the time that compiling took; next to nothing if it was cached.
	Compile time.Duration
	// Start is how long it took to make an instance and to start it; for a command,
	// only to make it.
	Start time.Duration
	// Memory in bytes that an instance has before its call.
	Memory uint64
	// Warm is how long the last call with the example took, in an instance that was
	// used before if the isolation reuses them; 0 without an example.
	Warm time.Duration
	// Imports as "module.name", sorted.
	Imports []string
	// Example is the error that the guest itself returned for the example, or nil.
	// All other failures of the example are failures of Load.
	Example *fault.Error
}

// Request is one call's input.
type Request struct {
	// ID of the call, and Caller, who makes it. The guest can read them; they may be "".
	ID, Caller string
	// Input is not changed and not kept after the call.
	Input []byte
	// ContentType of the input; may be empty.
	ContentType string

	// Head of a request of kind http, encoded as package abi says. It is not changed.
	Head []byte
	// Body streams the input; nil means that Input is all of it. It is read once the
	// guest asks for it. If it is an io.Closer, it is closed when the guest has
	// returned, which must end a Read in flight: Call waits for that.
	Body io.Reader
	// Trailers returns those of the request after the end of Body. Nil: none.
	Trailers func() []byte
	// Responder takes the answer if it streams. Nil means that it is always whole.
	Responder Responder
	// Opener opens outbound streams. Nil means that the guest has no network.
	Opener Opener
	// Turn of a call of kind http is released while the guest waits, unless it sleeps for
	// at most 100 µs, and while the last bytes of an answer are read. Nil: nothing is.
	Turn Turn
}

// Result describes a finished call. Logs, Memory and Duration are set even if the
// call failed.
type Result struct {
	// Output is nil if the call failed, unless a command exited with a code.
	Output []byte
	// ContentType that the guest set, or "".
	ContentType string
	// Head and Trailers of an answer of kind http, encoded as package abi says; nil
	// if the guest wrote none.
	Head, Trailers []byte
	// Streamed reports whether the Responder got the head and the output. They are
	// complete if Call returns no error.
	Streamed bool
	// Logs are whole lines: what the guest logged and printed, in order, as far as
	// the limit allows. If some was dropped, the last line says how much.
	Logs []byte
	// LogsDropped is how many bytes were dropped.
	LogsDropped int64
	// Memory is the guest's peak, in bytes.
	Memory uint64
	// Duration of the call, including making its instance.
	Duration time.Duration
	// CPU is the processor time that the guest used.
	CPU time.Duration
	// Fuel is the work that the guest did, in units that do not depend on the
	// machine: the same for the same work. A few instructions may cost none.
	Fuel uint64
	// Cold reports whether the call had to wait for a new instance.
	Cold bool
	// Restore is how long it took to put the instance back; it is not in Duration.
	Restore time.Duration
	// ExitCode of a guest that exited; 0 otherwise.
	ExitCode int
}
