// Package socket is what WASI calls a socket, over the streams of a call: reading,
// writing, flags and errors.
package socket

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/wasi"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// Waiter is the guest that calls: it bounds what is moved, and waits. Both end the
// call, by a panic, if it exceeds one of its limits.
type Waiter interface {
	// Step counts bytes that were moved.
	Step(bytes int)
	// Wait waits until ready returns true.
	Wait(ready func() bool)
}

// Streams are sockets to the guest, from which its libraries make connections.
const (
	socketDatagram = 5
	socketStream   = 6
	shutRead       = 1
	shutWrite      = 2
	// Rights of a stream: to read, set flags, write, stat, poll and shut down.
	Rights = 1<<1 | 1<<3 | 1<<6 | 1<<21 | 1<<27 | 1<<28
	// Nonblock is the flag of a stream that does not wait.
	Nonblock = 4
)

// Kind returns the type of a stream's file.
func Kind(f *stream.File) byte {
	if f.Datagram() {
		return socketDatagram
	}
	return socketStream
}

// Read reads a stream into the pieces of a list. It waits unless the guest
// said that it does not.
func Read(g Waiter, f *stream.File, mem api.Memory, at, n, size uint32) uint32 {
	for {
		read, failed := uint32(0), error(nil)
		errno := wasi.Vectors(mem, at, n, func(p []byte) {
			if failed != nil || f.Datagram() && read > 0 {
				return
			}
			var n int
			n, failed = f.TryRead(p)
			g.Step(n)
			read += uint32(n)
		})
		switch {
		case errno != wasi.OK || failed == nil || read > 0 || failed == io.EOF:
			return wasi.Count(mem, size, read, errno)
		case failed != stream.ErrWait:
			return errnoOf(failed)
		case f.Nonblock:
			return wasi.Again
		}
		g.Wait(func() bool { _, ready, _ := f.Readable(); return ready })
	}
}

// Write writes the pieces of a list, as one datagram if the stream keeps
// them apart.
func Write(g Waiter, f *stream.File, mem api.Memory, at, n, size uint32) uint32 {
	for {
		var whole []byte
		wrote, failed := uint32(0), error(nil)
		errno := wasi.Vectors(mem, at, n, func(p []byte) {
			switch {
			case failed != nil:
			case f.Datagram():
				if len(whole)+len(p) > stream.Window {
					failed = syscall.EMSGSIZE
					return
				}
				whole = append(whole, p...)
			default:
				var n int
				n, failed = f.TryWrite(p)
				g.Step(n)
				wrote += uint32(n)
			}
		})
		if f.Datagram() && errno == wasi.OK && failed == nil {
			g.Step(len(whole))
			var n int
			n, failed = f.TryWrite(whole)
			wrote = uint32(n)
		}
		switch {
		case errno != wasi.OK || failed == nil || wrote > 0:
			return wasi.Count(mem, size, wrote, errno)
		case failed != stream.ErrWait:
			return errnoOf(failed)
		case f.Nonblock:
			return wasi.Again
		}
		g.Wait(func() bool { _, ready, _ := f.Writable(); return ready })
	}
}

// errnoOf returns what WASI calls the error of a stream.
func errnoOf(err error) uint32 {
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Reason == stream.ReasonBlocked {
		return wasi.Acces
	}
	switch {
	case errors.Is(err, stream.ErrOutputLimit), errors.Is(err, stream.ErrInputLimit):
		return wasi.Fbig
	case errors.Is(err, io.ErrUnexpectedEOF): // before what it was caused by
		return wasi.Connreset
	case errors.Is(err, io.ErrClosedPipe), errors.Is(err, syscall.EPIPE):
		return wasi.Pipe
	case errors.Is(err, syscall.ECONNREFUSED):
		return wasi.Connrefused
	case errors.Is(err, syscall.EMSGSIZE):
		return wasi.Msgsize
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return wasi.Timedout
	case errors.Is(err, net.ErrClosed), errors.Is(err, fs.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, context.Canceled):
		return wasi.Connreset
	}
	return wasi.IO
}

// SetFlags sets whether a stream waits.
func SetFlags(f *stream.File, flags uint32) (errno uint32) {
	if flags&^Nonblock != 0 {
		return wasi.Inval
	}
	f.Nonblock = flags != 0
	return wasi.OK
}

// Shutdown ends one direction of a stream or both.
func Shutdown(f *stream.File, how uint32) (errno uint32) {
	if how == 0 || how&^(shutRead|shutWrite) != 0 {
		return wasi.Inval
	}
	if how&shutRead != 0 {
		f.CloseRead()
	}
	if how&shutWrite != 0 {
		f.CloseWrite()
	}
	return wasi.OK
}
