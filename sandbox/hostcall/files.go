package hostcall

import (
	"encoding/binary"
	"strings"

	"github.com/tetratelabs/wazero/api"
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
	// maxPath is the longest path, in bytes.
	maxPath = 4096
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
		"path_filestat_get":       onPath(2, func(p string) uint32 { return atRoot(p, wasiOK, wasiNoent) }, statAt(4)),
		"path_readlink":           onPath(1, func(p string) uint32 { return atRoot(p, wasiInval, wasiNoent) }, nil),
		"path_unlink_file":        onPath(1, func(p string) uint32 { return atRoot(p, wasiIsdir, wasiNoent) }, nil),
		"path_remove_directory":   onPath(1, func(p string) uint32 { return atRoot(p, wasiInval, wasiNoent) }, nil),
		"path_create_directory":   onPath(1, func(p string) uint32 { return atRoot(p, wasiExist, made(p)) }, nil),
		"path_filestat_set_times": onPath(2, func(p string) uint32 { return atRoot(p, wasiRofs, wasiNoent) }, nil),
		"path_symlink":            symlink,
		"path_link":               onPath(2, func(p string) uint32 { return atRoot(p, wasiPerm, wasiNoent) }, nil),
		"path_rename":             onPath(1, func(p string) uint32 { return atRoot(p, wasiRofs, wasiNoent) }, nil),
	}
}

func prestatGet(_ *Guest, mem api.Memory, stack []uint64) uint32 {
	if arg(stack, 0) != root {
		return wasiBadf
	}
	const isDirectory, nameLength = 0, 1
	if !mem.WriteUint64Le(arg(stack, 1), nameLength<<32|isDirectory) {
		return wasiFault
	}
	return wasiOK
}

func prestatName(_ *Guest, mem api.Memory, stack []uint64) uint32 {
	switch {
	case arg(stack, 0) != root:
		return wasiBadf
	case arg(stack, 2) < 1:
		return wasiNametoolong
	case !mem.WriteByte(arg(stack, 1), '/'):
		return wasiFault
	}
	return wasiOK
}

func fdstatGet(_ *Guest, mem api.Memory, stack []uint64) uint32 {
	b, ok := mem.Read(arg(stack, 1), 24)
	if !ok {
		return wasiFault
	}
	kind, rights, inherited := byte(blockDevice), uint64(streamRights), uint64(0)
	if fd := arg(stack, 0); fd == root {
		kind, rights, inherited = directory, rootRights, anyRights
	} else if fd > root {
		return wasiBadf
	}
	clear(b)
	b[0] = kind
	binary.LittleEndian.PutUint64(b[8:], rights)
	binary.LittleEndian.PutUint64(b[16:], inherited)
	return wasiOK
}

func filestatGet(_ *Guest, mem api.Memory, stack []uint64) uint32 {
	kind := byte(blockDevice)
	if fd := arg(stack, 0); fd == root {
		kind = directory
	} else if fd > root {
		return wasiBadf
	}
	return writeStat(mem, arg(stack, 1), kind)
}

// writeStat describes a file without a size, times or an owner.
func writeStat(mem api.Memory, ptr uint32, kind byte) uint32 {
	b, ok := mem.Read(ptr, 64)
	if !ok {
		return wasiFault
	}
	clear(b)
	b[16], b[24] = kind, 1 // one link
	return wasiOK
}

func statAt(param int) func(api.Memory, []uint64) uint32 {
	return func(mem api.Memory, stack []uint64) uint32 { return writeStat(mem, arg(stack, param), directory) }
}

// fdClose refuses to close the streams, which outlive the call if the instance is
// used again.
func fdClose(_ *Guest, _ api.Memory, stack []uint64) uint32 {
	switch fd := arg(stack, 0); {
	case fd == root:
		return wasiOK
	case fd > root:
		return wasiBadf
	}
	return wasiNotsup
}

func readDir(_ *Guest, mem api.Memory, stack []uint64) uint32 {
	if arg(stack, 0) != root {
		return wasiBadf
	}
	if _, ok := mem.Read(arg(stack, 1), arg(stack, 2)); !ok {
		return wasiFault
	}
	return count(mem, arg(stack, 4), 0, wasiOK)
}

func pathOpen(g *Guest, mem api.Memory, stack []uint64) uint32 {
	path, errno := pathAt(g, mem, stack, 0, 2)
	if errno != wasiOK {
		return errno
	}
	flags, rights := arg(stack, 4), stack[5]
	if path != "" {
		if flags&openCreate != 0 {
			return made(path)
		}
		return wasiNoent
	}
	switch {
	case flags&openExclusive != 0 && flags&openCreate != 0:
		return wasiExist
	case flags&(openCreate|openTruncate) != 0 || flags&openDirectory == 0 && rights&rightsToWrite != 0:
		return wasiIsdir
	}
	return count(mem, arg(stack, 8), root, wasiOK)
}

// symlink has its path behind the text of the link.
func symlink(g *Guest, mem api.Memory, stack []uint64) uint32 {
	path, errno := pathAt(g, mem, stack, 2, 3)
	if errno != wasiOK {
		return errno
	}
	return atRoot(path, wasiExist, made(path))
}

// onPath returns a function whose first parameter is a descriptor and which has a
// path at the given one. done completes it if the error is wasiOK.
func onPath(param int, of func(path string) uint32, done func(api.Memory, []uint64) uint32) func(*Guest, api.Memory, []uint64) uint32 {
	return func(g *Guest, mem api.Memory, stack []uint64) uint32 {
		path, errno := pathAt(g, mem, stack, 0, param)
		if errno != wasiOK {
			return errno
		}
		if errno = of(path); errno == wasiOK && done != nil {
			return done(mem, stack)
		}
		return errno
	}
}

// pathAt reads a path and returns it without slashes and dots at its ends; "" is
// root. A path that leaves root is refused. The call remembers the path of anything
// but root, of which there is none.
func pathAt(g *Guest, mem api.Memory, stack []uint64, fd, param int) (string, uint32) {
	if arg(stack, fd) != root {
		return "", wasiBadf
	}
	size := arg(stack, param+1)
	if size > maxPath {
		return "", wasiNametoolong
	}
	b, ok := mem.Read(arg(stack, param), size)
	if !ok {
		return "", wasiFault
	}
	var names []string
	for name := range strings.SplitSeq(string(b), "/") {
		switch name {
		case "", ".":
		case "..":
			if len(names) == 0 {
				return "", wasiNotcapable
			}
			return "", wasiNoent // of the name before it
		default:
			names = append(names, name)
		}
	}
	switch {
	case len(b) == 0:
		return "", wasiNoent
	case b[0] == '/':
		return "", wasiNotcapable
	case strings.Contains(string(b), "\x00"):
		return "", wasiInval
	}
	path := strings.Join(names, "/")
	g.call.absent.file(path)
	return path, wasiOK
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
		return wasiNoent // its directory
	}
	return wasiRofs
}
