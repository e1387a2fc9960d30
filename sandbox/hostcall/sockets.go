package hostcall

import (
	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/sandbox/hostcall/socket"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/wasi"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// waiter is a guest as package socket sees it.
type waiter Guest

func (w *waiter) Step(bytes int)         { w.meter.Step(bytes) }
func (w *waiter) Wait(ready func() bool) { (*Guest)(w).wait(ready, forever) }

// setFlags sets whether a stream waits. The standard streams outlive the call if
// the instance is used again, so nothing of them can be set.
func setFlags(g *Guest, _ api.Memory, stack []uint64) uint32 {
	f := g.call.file(arg(stack, 0))
	if f == nil {
		return wasi.Notsup
	}
	return socket.SetFlags(f, arg(stack, 1))
}

// fdSync is output_flush on the file of the call itself.
func fdSync(g *Guest, _ api.Memory, stack []uint64) uint32 {
	fd := arg(stack, 0)
	f := g.call.file(fd)
	if f == nil && fd >= root {
		return wasi.Badf
	}
	if x := g.call.exchange; f != nil && f == x.body {
		x.flush = true
	}
	return wasi.OK
}

func sockShutdown(g *Guest, _ api.Memory, stack []uint64) uint32 {
	f := socketOf(g, stack)
	if f == nil {
		return wasi.Badf
	}
	return socket.Shutdown(f, arg(stack, 1))
}

// sockRecv is fd_read with flags, of which none is known.
func sockRecv(g *Guest, mem api.Memory, stack []uint64) uint32 {
	f := socketOf(g, stack)
	switch {
	case f == nil:
		return wasi.Badf
	case arg(stack, 3) != 0:
		return wasi.Notsup
	case !mem.WriteUint16Le(arg(stack, 5), 0):
		return wasi.Fault
	}
	return socket.Read((*waiter)(g), f, mem, arg(stack, 1), arg(stack, 2), arg(stack, 4))
}

// sockSend is fd_write with flags, of which none is known.
func sockSend(g *Guest, mem api.Memory, stack []uint64) uint32 {
	f := socketOf(g, stack)
	switch {
	case f == nil:
		return wasi.Badf
	case arg(stack, 3) != 0:
		return wasi.Notsup
	}
	return socket.Write((*waiter)(g), f, mem, arg(stack, 1), arg(stack, 2), arg(stack, 4))
}

// socketOf returns the stream that a function for sockets is about. If there is
// none, the call remembers that the guest looked for a network.
func socketOf(g *Guest, stack []uint64) *stream.File {
	f := g.call.file(arg(stack, 0))
	g.call.absent.Sockets = g.call.absent.Sockets || f == nil
	return f
}
