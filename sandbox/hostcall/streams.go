package hostcall

import (
	"math"

	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/sandbox/hostcall/socket"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/wasi"
)

// fdRead reads a command's input, or a stream. The input of a function is not on
// stdin.
func fdRead(g *Guest, mem api.Memory, stack []uint64) uint32 {
	c := g.call
	switch arg(stack, 0) {
	case 0:
	case root:
		return wasi.Isdir
	default:
		if f := c.file(arg(stack, 0)); f != nil {
			return socket.Read((*waiter)(g), f, mem, arg(stack, 1), arg(stack, 2), arg(stack, 3))
		}
		return wasi.Badf
	}
	read := uint32(0)
	errno := wasi.Vectors(mem, arg(stack, 1), arg(stack, 2), func(p []byte) {
		if g.command {
			n := copy(p[:min(len(p), math.MaxInt32)], c.input)
			c.input = c.input[n:]
			read += uint32(n)
		}
	})
	return wasi.Count(mem, arg(stack, 3), read, errno)
}

// fdWrite appends to a command's output, to the logs or to a stream. WASI can report excess
// output only as an error, which programs tend to ignore: the call ends
// instead.
func fdWrite(g *Guest, mem api.Memory, stack []uint64) uint32 {
	c, fd := g.call, arg(stack, 0)
	if fd != 1 && fd != 2 {
		if f := c.file(fd); f != nil {
			return socket.Write((*waiter)(g), f, mem, arg(stack, 1), arg(stack, 2), arg(stack, 3))
		}
		return wasi.Badf
	}
	written := uint32(0)
	errno := wasi.Vectors(mem, arg(stack, 1), arg(stack, 2), func(p []byte) {
		switch {
		case fd == 2:
			g.meter.Step(len(p))
			c.err.Write(&c.logs, p)
		case !g.command:
			g.meter.Step(len(p))
			c.out.Write(&c.logs, p)
		case !c.write(p):
			panic(errFlooded)
		}
		written += uint32(len(p))
	})
	return wasi.Count(mem, arg(stack, 3), written, errno)
}
