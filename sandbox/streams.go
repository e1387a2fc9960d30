package sandbox

import (
	"encoding/binary"
	"math"

	"github.com/tetratelabs/wazero/api"
)

// maxVectors of one fd_read or fd_write, as POSIX has it: more would keep the
// host busy beyond the end of the call.
const maxVectors = 1024

// fdRead gives a command its input. The input of a function is not a stream.
func fdRead(i *instance, mem api.Memory, stack []uint64) uint32 {
	c := i.call
	if arg(stack, 0) != 0 {
		return wasiBadf
	}
	read := uint32(0)
	errno := vectors(mem, arg(stack, 1), arg(stack, 2), func(p []byte) {
		if i.t.report.Kind == Command {
			n := copy(p[:min(len(p), math.MaxInt32)], c.input)
			c.input = c.input[n:]
			read += uint32(n)
		}
	})
	return count(mem, arg(stack, 3), read, errno)
}

// fdWrite takes a command's output, and what any guest prints: its logs. WASI
// could only tell of an error that there is too much output, and programs tend
// to ignore that: the call ends.
func fdWrite(i *instance, mem api.Memory, stack []uint64) uint32 {
	c, fd := i.call, arg(stack, 0)
	if fd != 1 && fd != 2 {
		return wasiBadf
	}
	written := uint32(0)
	errno := vectors(mem, arg(stack, 1), arg(stack, 2), func(p []byte) {
		switch {
		case fd == 2:
			c.err.write(p)
		case i.t.report.Kind != Command:
			c.out.write(p)
		case !c.write(p):
			panic(errFlooded)
		}
		written += uint32(len(p))
	})
	return count(mem, arg(stack, 3), written, errno)
}

// vectors goes through a list of pieces of the guest's memory, leaving out those
// of no length.
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

// count tells the guest how many bytes were moved.
func count(mem api.Memory, ptr, n, errno uint32) uint32 {
	if errno == wasiOK && !mem.WriteUint32Le(ptr, n) {
		return wasiFault
	}
	return errno
}
