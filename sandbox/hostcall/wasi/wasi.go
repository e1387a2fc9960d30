// Package wasi has the numbers of WASI preview 1 that host functions return, and the
// lists of pieces of memory that they move.
package wasi

import (
	"encoding/binary"

	"github.com/tetratelabs/wazero/api"
)

// Errors.
const (
	OK          = 0
	Acces       = 2
	Again       = 6
	Badf        = 8
	Connrefused = 14
	Connreset   = 15
	Exist       = 20
	Fault       = 21
	Fbig        = 22
	Inval       = 28
	IO          = 29
	Isdir       = 31
	Msgsize     = 35
	Nametoolong = 37
	Noent       = 44
	Notsup      = 58
	Perm        = 63
	Pipe        = 64
	Rofs        = 69
	Spipe       = 70
	Timedout    = 73
	Notcapable  = 76
)

// maxVectors is the limit for one fd_read or fd_write, as in POSIX: more would
// keep the host busy beyond the end of the call.
const maxVectors = 1024

// Vectors calls each for the pieces of the guest's memory in a list, except for
// empty ones.
func Vectors(mem api.Memory, at, n uint32, each func([]byte)) (errno uint32) {
	if n > maxVectors {
		return Inval
	}
	list, ok := mem.Read(at, 8*n)
	if !ok {
		return Fault
	}
	for ; len(list) > 0; list = list[8:] {
		ptr, size := binary.LittleEndian.Uint32(list), binary.LittleEndian.Uint32(list[4:])
		p, ok := mem.Read(ptr, size)
		if !ok {
			return Fault
		}
		if size > 0 {
			each(p)
		}
	}
	return OK
}

// Count writes how many bytes were moved into the guest's memory.
func Count(mem api.Memory, ptr, n, errno uint32) uint32 {
	if errno == OK && !mem.WriteUint32Le(ptr, n) {
		return Fault
	}
	return errno
}
