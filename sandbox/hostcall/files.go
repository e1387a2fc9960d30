package hostcall

import (
	"encoding/binary"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/sandbox/hostcall/socket"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/wasi"
)

// root is the descriptor of "/", an empty directory that cannot be changed, so
// that a program that looks for a file learns that there is none. It has no
// state: opening it returns the same descriptor, and closing it does nothing.
const root = 3

// Types of files, and what can be done with the streams and with root.
const (
	blockDevice  = 1
	directory    = 3
	streamRights = 0x8e001ff                             // as the runtime says
	rootRights   = 1<<13 | 1<<14 | 1<<15 | 1<<18 | 1<<21 // open, read entries and links, ask what is there
	anyRights    = 1<<30 - 1
)

const (
	openCreate    = 1
	openDirectory = 2
	openExclusive = 4
	openTruncate  = 8
	rightsToWrite = 1<<6 | 1<<8 | 1<<22 // fd_write, fd_allocate, fd_filestat_set_size
)

// fileFunctions are the functions of WASI that take the descriptor of a file. The
// runtime has them too, but with a table of descriptors for each instance.
func fileFunctions() map[string]func(*Guest, api.Memory, []uint64) uint32 {
	return map[string]func(*Guest, api.Memory, []uint64) uint32{
		"fd_prestat_get":          prestatGet,
		"fd_prestat_dir_name":     prestatName,
		"fd_fdstat_get":           fdstatGet,
		"fd_filestat_get":         filestatGet,
		"fd_close":                fdClose,
		"fd_readdir":              readDir,
		"path_open":               pathOpen,
		"path_filestat_get":       onPath(2, func(p string) uint32 { return atRoot(p, wasi.OK, wasi.Noent) }, statAt(4)),
		"path_readlink":           onPath(1, func(p string) uint32 { return atRoot(p, wasi.Inval, wasi.Noent) }, nil),
		"path_unlink_file":        onPath(1, func(p string) uint32 { return atRoot(p, wasi.Isdir, wasi.Noent) }, nil),
		"path_remove_directory":   onPath(1, func(p string) uint32 { return atRoot(p, wasi.Inval, wasi.Noent) }, nil),
		"path_create_directory":   onPath(1, func(p string) uint32 { return atRoot(p, wasi.Exist, made(p)) }, nil),
		"path_filestat_set_times": onPath(2, func(p string) uint32 { return atRoot(p, wasi.Rofs, wasi.Noent) }, nil),
		"path_symlink":            symlink,
		"path_link":               onPath(2, func(p string) uint32 { return atRoot(p, wasi.Perm, wasi.Noent) }, nil),
		"path_rename":             onPath(1, func(p string) uint32 { return atRoot(p, wasi.Rofs, wasi.Noent) }, nil),
	}
}

func prestatGet(_ *Guest, mem api.Memory, stack []uint64) uint32 {
	if arg(stack, 0) != root {
		return wasi.Badf
	}
	const isDirectory, nameLength = 0, 1
	if !mem.WriteUint64Le(arg(stack, 1), nameLength<<32|isDirectory) {
		return wasi.Fault
	}
	return wasi.OK
}

func prestatName(_ *Guest, mem api.Memory, stack []uint64) uint32 {
	switch {
	case arg(stack, 0) != root:
		return wasi.Badf
	case arg(stack, 2) < 1:
		return wasi.Nametoolong
	case !mem.WriteByte(arg(stack, 1), '/'):
		return wasi.Fault
	}
	return wasi.OK
}

func fdstatGet(g *Guest, mem api.Memory, stack []uint64) uint32 {
	b, ok := mem.Read(arg(stack, 1), 24)
	if !ok {
		return wasi.Fault
	}
	kind, flags, rights, inherited := byte(blockDevice), byte(0), uint64(streamRights), uint64(0)
	if fd := arg(stack, 0); fd == root {
		kind, rights, inherited = directory, rootRights, anyRights
	} else if fd > root {
		f := g.call.file(fd)
		if f == nil {
			return wasi.Badf
		}
		if kind, rights = socket.Kind(f), uint64(socket.Rights); f.Nonblock {
			flags = socket.Nonblock
		}
	}
	clear(b)
	b[0], b[2] = kind, flags
	binary.LittleEndian.PutUint64(b[8:], rights)
	binary.LittleEndian.PutUint64(b[16:], inherited)
	return wasi.OK
}

func filestatGet(g *Guest, mem api.Memory, stack []uint64) uint32 {
	kind := byte(blockDevice)
	if fd := arg(stack, 0); fd == root {
		kind = directory
	} else if fd > root {
		f := g.call.file(fd)
		if f == nil {
			return wasi.Badf
		}
		kind = socket.Kind(f)
	}
	return writeStat(mem, arg(stack, 1), kind)
}

// writeStat describes a file without a size, times or an owner.
func writeStat(mem api.Memory, ptr uint32, kind byte) uint32 {
	b, ok := mem.Read(ptr, 64)
	if !ok {
		return wasi.Fault
	}
	clear(b)
	b[16], b[24] = kind, 1 // one link
	return wasi.OK
}

func statAt(param int) func(api.Memory, []uint64) uint32 {
	return func(mem api.Memory, stack []uint64) uint32 { return writeStat(mem, arg(stack, param), directory) }
}

// fdClose refuses to close the standard streams, which outlive the call if the
// instance is used again.
func fdClose(g *Guest, _ api.Memory, stack []uint64) uint32 {
	switch fd := arg(stack, 0); {
	case fd == root:
		return wasi.OK
	case g.call.file(fd) != nil:
		g.call.exchange.Close(fd)
		return wasi.OK
	case fd > root:
		return wasi.Badf
	}
	return wasi.Notsup
}

func readDir(_ *Guest, mem api.Memory, stack []uint64) uint32 {
	if arg(stack, 0) != root {
		return wasi.Badf
	}
	if _, ok := mem.Read(arg(stack, 1), arg(stack, 2)); !ok {
		return wasi.Fault
	}
	return wasi.Count(mem, arg(stack, 4), 0, wasi.OK)
}

func pathOpen(g *Guest, mem api.Memory, stack []uint64) uint32 {
	path, errno := pathAt(g, mem, stack, 0, 2)
	if errno != wasi.OK {
		return errno
	}
	flags, rights := arg(stack, 4), stack[5]
	if path != "" {
		if flags&openCreate != 0 {
			return made(path)
		}
		return wasi.Noent
	}
	switch {
	case flags&openExclusive != 0 && flags&openCreate != 0:
		return wasi.Exist
	case flags&(openCreate|openTruncate) != 0 || flags&openDirectory == 0 && rights&rightsToWrite != 0:
		return wasi.Isdir
	}
	return wasi.Count(mem, arg(stack, 8), root, wasi.OK)
}

// symlink has its path behind the text of the link.
func symlink(g *Guest, mem api.Memory, stack []uint64) uint32 {
	path, errno := pathAt(g, mem, stack, 2, 3)
	if errno != wasi.OK {
		return errno
	}
	return atRoot(path, wasi.Exist, made(path))
}

// onPath returns a function whose first parameter is a descriptor and which has a
// path at the given one. done completes it if the error is wasi.OK.
func onPath(param int, of func(path string) uint32, done func(api.Memory, []uint64) uint32) func(*Guest, api.Memory, []uint64) uint32 {
	return func(g *Guest, mem api.Memory, stack []uint64) uint32 {
		path, errno := pathAt(g, mem, stack, 0, param)
		if errno != wasi.OK {
			return errno
		}
		if errno = of(path); errno == wasi.OK && done != nil {
			return done(mem, stack)
		}
		return errno
	}
}

// pathAt reads a path as [wasi.Path] does; "" is root. The call remembers the path
// of anything but root, of which there is none.
func pathAt(g *Guest, mem api.Memory, stack []uint64, fd, param int) (string, uint32) {
	if arg(stack, fd) != root {
		return "", wasi.Badf
	}
	b, ok := mem.Read(arg(stack, param), arg(stack, param+1))
	if !ok {
		return "", wasi.Fault
	}
	path, errno := wasi.Path(b)
	if errno == wasi.OK {
		g.call.absent.File(path)
	}
	return path, errno
}

// atRoot returns one error for root and another one for everything else.
func atRoot(path string, errno, otherwise uint32) uint32 {
	if path == "" {
		return errno
	}
	return otherwise
}

// made returns the error for something that would be made at a path.
func made(path string) uint32 {
	if strings.Contains(path, "/") {
		return wasi.Noent // its directory
	}
	return wasi.Rofs
}
