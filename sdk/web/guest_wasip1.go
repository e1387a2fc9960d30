package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"unsafe"

	"github.com/ruedo-dev/ruedo/sdk"
	"github.com/ruedo-dev/ruedo/sdk/internal/entry"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/exchange"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/outbound"
)

// The host's functions; docs/abi.md describes them.

//go:wasmimport ruedo input_size
//go:noescape
func hostInputSize() int64

//go:wasmimport ruedo input_read
//go:noescape
func hostInputRead(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo output_write
//go:noescape
func hostOutputWrite(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo output_flush
//go:noescape
func hostOutputFlush() int32

//go:wasmimport ruedo head_read
//go:noescape
func hostHeadRead(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo head_write
//go:noescape
func hostHeadWrite(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo trailers_write
//go:noescape
func hostTrailersWrite(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo body_open
//go:noescape
func hostBodyOpen() int32

//go:wasmimport ruedo stream_open
//go:noescape
func hostStreamOpen(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo stream_head
//go:noescape
func hostStreamHead(fd int32, part uint32, p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo fail
//go:noescape
func hostFail(code uint32, message string)

// marker declares the kind of the module by its name.
//
//go:wasmexport ruedo_http
func marker() {}

// machine is the host that runs this module.
type machine struct{}

var _ host.Host = machine{}

func (machine) HeadRead(p []byte) int32      { return hostHeadRead(data(p)) }
func (machine) HeadWrite(p []byte) int32     { return hostHeadWrite(data(p)) }
func (machine) InputSize() int64             { return hostInputSize() }
func (machine) InputRead(p []byte) int32     { return hostInputRead(data(p)) }
func (machine) OutputWrite(p []byte) int32   { return hostOutputWrite(data(p)) }
func (machine) OutputFlush() int32           { return hostOutputFlush() }
func (machine) TrailersWrite(p []byte) int32 { return hostTrailersWrite(data(p)) }
func (machine) BodyOpen() int32              { return hostBodyOpen() }
func (machine) StreamOpen(p []byte) int32    { return hostStreamOpen(data(p)) }

func (machine) StreamHead(fd uintptr, part uint32, p []byte) int32 {
	at, n := data(p)
	return hostStreamHead(int32(fd), part, at, n)
}

func (machine) Fail(code uint32, message string) { hostFail(code, message) }

func (machine) File(fd int32, name string) (*os.File, error) {
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		return nil, fmt.Errorf("a stream cannot be made non-blocking: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (machine) CloseSide(fd uintptr, side int) error { return syscall.Shutdown(int(fd), side) }

// data returns what the host takes for a slice.
func data(p []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p))
}

func serve(h http.Handler) {
	http.DefaultTransport = Transport{}
	entry.Answer(exchange.New(machine{}, h).Answer)
}

// misuse ends a module that uses the package wrongly. A panic would end it,
// too, but the host could only report a trap.
func misuse(message string) {
	hostFail(uint32(sdk.FailedPrecondition), message)
	os.Exit(2)
}

// Main serves the registered handler if the program runs natively. A module's
// main never runs.
func Main() { sdk.Main() }

// RoundTrip makes one request. It is as http.RoundTripper says.
func (Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return outbound.RoundTrip(machine{}, req)
}

func dialOut(ctx context.Context, network, address string) (net.Conn, error) {
	return outbound.Dial(ctx, machine{}, network, address)
}
