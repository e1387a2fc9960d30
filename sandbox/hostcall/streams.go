package hostcall

import (
	"encoding/binary"
	"math"

	"github.com/tetratelabs/wazero/api"
)

// maxVectors is the limit for one fd_read or fd_write, as in POSIX: more would
// keep the host busy beyond the end of the call.
const maxVectors = 1024

// fdRead reads a command's input. The input of a function is not a stream.
func fdRead(g *Guest, mem api.Memory, stack []uint64) uint32 {
	c := g.call
	switch arg(stack, 0) {
	case 0:
	case root:
		return wasiIsdir
	default:
		return wasiBadf
	}
	read := uint32(0)
	errno := vectors(mem, arg(stack, 1), arg(stack, 2), func(p []byte) {
		if g.command {
			n := copy(p[:min(len(p), math.MaxInt32)], c.input)
			c.input = c.input[n:]
			read += uint32(n)
		}
	})
	return count(mem, arg(stack, 3), read, errno)
}

// fdWrite appends to a command's output, or to the logs. WASI can report excess
// output only as an error, which programs tend to ignore: the call ends
// instead.
func fdWrite(g *Guest, mem api.Memory, stack []uint64) uint32 {
	c, fd := g.call, arg(stack, 0)
	if fd != 1 && fd != 2 {
		return wasiBadf
	}
	written := uint32(0)
	errno := vectors(mem, arg(stack, 1), arg(stack, 2), func(p []byte) {
		switch {
		case fd == 2:
			g.meter.Step(len(p))
			c.err.write(&c.logs, p)
		case !g.command:
			g.meter.Step(len(p))
			c.out.write(&c.logs, p)
		case !c.write(p):
			panic(errFlooded)
		}
		written += uint32(len(p))
	})
	return count(mem, arg(stack, 3), written, errno)
}

// vectors calls each for the pieces of the guest's memory in a list, except for
// empty ones.
func vectors(mem api.Memory, at, n uint32, each func([]byte)) (errno uint32) {
	if n > maxVectors {
		return wasiInval
	}
	list, ok := mem.Read(at, 8*n)
	if !ok {
		return wasiFault
	}
	for ; len(list) > 0; list = list[8:] {
		ptr, size := binary.LittleEndian.Uint32(list), binary.LittleEndian.Uint32(list[4:])
		p, ok := mem.Read(ptr, size)
		if !ok {
			return wasiFault
		}
		if size > 0 {
			each(p)
		}
	}
	return wasiOK
}

// count writes how many bytes were moved into the guest's memory.
func count(mem api.Memory, ptr, n, errno uint32) uint32 {
	if errno == wasiOK && !mem.WriteUint32Le(ptr, n) {
		return wasiFault
	}
	return errno
}
