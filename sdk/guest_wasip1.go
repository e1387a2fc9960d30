package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"unsafe"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk/internal/entry"
)

// The host's functions; internal/abi describes them. A string is passed as
// pointer and length.

//go:wasmimport ruedo input_size
//go:noescape
func hostInputSize() int64

//go:wasmimport ruedo input_read
//go:noescape
func hostInputRead(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo output_write
//go:noescape
func hostOutputWrite(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo head_read
//go:noescape
func hostHeadRead(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo head_write
//go:noescape
func hostHeadWrite(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo fail
//go:noescape
func hostFail(code uint32, message string)

//go:wasmimport ruedo log
//go:noescape
func hostLog(level int32, line string)

// buffers are used by one call after the other. A module serves one at a time, and
// nothing refers to what is in them once it has returned: so they are safe where
// memory is not restored between calls, too.
var buffers struct {
	head  [512]byte // of the response
	input [8 << 10]byte
}

// spares are what the first calls begin with. Each is for one call, because a handler
// can keep its context and what that says. Where memory is restored, all calls are
// the first after those with the example, which are fewer.
var spares struct {
	used int
	of   [8]struct {
		call call
		head [512]byte
	}
}

// beginning returns the context of a call, and room for what it will say.
func beginning() (*call, []byte) {
	n := spares.used
	if n == len(spares.of) {
		return new(call), make([]byte, 0, 256)
	}
	spares.used++
	return &spares.of[n].call, spares.of[n].head[:0]
}

// A module has no main that could do this. It must run before the author's own
// inits, which can set another logger.
func init() { slog.SetDefault(slog.New(LogHandler(nil))) }

// Main serves one call from stdin to stdout if the program runs natively. A
// module's main never runs.
func Main() {
	// Only a module built as a command gets here.
	fmt.Fprintln(os.Stderr, "ruedo: this module is built as a command, but its handler needs a function: build it with -buildmode=c-shared")
	os.Exit(2)
}

// marker declares the version of the contract by its name.
//
//go:wasmexport ruedo_abi_1
func marker() {}

// guestWarm runs last before the module counts as ready: an error here refuses
// the publish.
//
//go:wasmexport ruedo_warm
func guestWarm() {
	if registered.handle == nil && entry.Call() == nil {
		misuse("this service has no handler: " + noHandlerFix)
	}
	defer func() {
		if p := recover(); p != nil {
			logPanic(p, debug.Stack())
			misuse(fmt.Sprintf("warming panicked: %v", p))
		}
	}()
	registered.runWarm()
	touch()
}

// touch makes a small object of each size, for which Go's allocator fetches memory
// with the first one. In a restored memory, each call would be the first again.
func touch() {
	const small = 512
	for size := 8; size <= small; size += 8 {
		touched.bytes = make([]byte, size)
		touched.pointers = make([]*byte, size/8)
	}
	touched.bytes, touched.pointers = nil, nil
}

var touched struct {
	bytes    []byte
	pointers []*byte
}

// misuse ends a module that uses the SDK wrongly. A panic would end it, too,
// but the host could only report a trap.
func misuse(message string) {
	hostFail(uint32(FailedPrecondition), message)
	os.Exit(2)
}

//go:wasmexport ruedo_call
func guestCall() int32 {
	if call := entry.Call(); call != nil {
		return call()
	}
	c, err := readHead()
	if err != nil {
		return fail(err)
	}
	input, err := readInput()
	if err != nil {
		return fail(err)
	}
	res, err := registered.answer(c, input)
	if err != nil {
		return fail(err)
	}
	if err := writeResponse(res); err != nil {
		return fail(err)
	}
	return 0
}

// fail tells the host why the call failed.
func fail(err error) int32 {
	e := asError(err)
	hostFail(uint32(e.Code), e.Message)
	return 1
}

func readHead() (*call, error) {
	c, room := beginning()
	b, err := readAll(hostHeadRead, room, false)
	if err != nil {
		return nil, Errorf(Internal, "the request head cannot be read: %w", err)
	}
	c.Context, c.alone = context.Background(), true
	for head := unsafe.String(unsafe.SliceData(b), len(b)); len(head) > 0; { // b is not written to again
		key, value, rest, ok := abi.CutField(head)
		if !ok {
			return nil, Errorf(Internal, "the request head is malformed, %d bytes before its end", len(head))
		}
		switch key {
		case abi.HeadCallID:
			c.id = value
		case abi.HeadCaller:
			c.caller = value
		case abi.HeadContentType:
			c.contentType = value
		}
		head = rest
	}
	return c, nil
}

func readInput() ([]byte, error) {
	size, to := hostInputSize(), buffers.input[:0]
	if size < 0 {
		to = make([]byte, 0, 32<<10)
	} else if room := int(size) + 1; !registered.typed || room > cap(to) {
		to = make([]byte, 0, room)
	}
	input, err := readAll(hostInputRead, to, size < 0)
	if err != nil {
		return nil, Errorf(Internal, "the input cannot be read: %w", err)
	}
	return input, nil
}

// readAll appends all that one of the host's read functions returns. Unless the input
// streams, a read that leaves room was the last one, which saves a call of the host.
func readAll(read func(unsafe.Pointer, uint32) int32, b []byte, streams bool) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		free := b[len(b):cap(b)]
		n := read(unsafe.Pointer(unsafe.SliceData(free)), uint32(len(free)))
		if n < 0 {
			return nil, hostError(n)
		}
		b = b[:len(b)+int(n)]
		if n == 0 || int(n) < len(free) && !streams {
			return b, nil
		}
	}
}

func writeResponse(res Response) error {
	if res.ContentType != "" {
		head := abi.AppendField(buffers.head[:0], abi.HeadContentType, res.ContentType)
		if n := hostHeadWrite(unsafe.Pointer(unsafe.SliceData(head)), uint32(len(head))); n < 0 {
			return Errorf(Internal, "the host did not accept the content type %q: %w", res.ContentType, hostError(n))
		}
	}
	for out := res.Output; len(out) > 0; {
		n := hostOutputWrite(unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out)))
		if n <= 0 {
			if n == 0 {
				return Errorf(Internal, "the host did not accept the output: %w", io.ErrShortWrite)
			}
			code := Internal
			if n == abi.ErrLimit {
				code = ResourceExhausted
			}
			return Errorf(code, "the host did not accept %d bytes of output: %w", len(res.Output), hostError(n))
		}
		out = out[n:]
	}
	return nil
}

// hostError returns the error for the result of a host function.
func hostError(n int32) error {
	switch n {
	case abi.ErrFault:
		return errors.New("a pointer lies outside the memory")
	case abi.ErrLimit:
		return errors.New("over the limit")
	case abi.ErrState:
		return errors.New("not possible now")
	case abi.ErrInvalid:
		return errors.New("malformed")
	}
	return fmt.Errorf("the host answered %d", n)
}

// writeLog writes one line to the log of the call.
func writeLog(level slog.Level, line string) { hostLog(int32(level), line) }
