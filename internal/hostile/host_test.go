//go:build hostile

package hostile

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// Error numbers of WASI preview 1.
const (
	wasiBadf       = 8
	wasiExist      = 20
	wasiFault      = 21
	wasiInval      = 28
	wasiIsdir      = 31
	wasiNoent      = 44
	wasiNotsup     = 58
	wasiPerm       = 63
	wasiRofs       = 69
	wasiNotcapable = 76
)

// orders has the puppet carry out all orders and returns the results.
func (b *bout) orders(service string, list ...[]byte) []int64 {
	in := slices.Concat(list...)
	res, err := b.call(service, in)
	if err != nil {
		b.Errorf("call: %s: %v", fault.ReasonOf(err), err)
		return make([]int64, count(in))
	}
	got := results(res.Output)
	if len(got) != count(in) {
		b.Errorf("%d of %d orders were carried out", len(got), count(in))
		return make([]int64, count(in))
	}
	return got
}

// pointerRow is row 18: false counts, pointers and lengths, passed to every
// host function.
func pointerRow() *row {
	p, wasm := newPuppet()
	const end = puppetMemory
	edges := []uint64{0, 1, 4, 65535, end - 1, end, end + 1, 0x05555556, 0x10000000, math.MaxInt32, 1 << 31, 1<<32 - 1, 1<<63 - 1, 1 << 63, math.MaxUint64}
	var moves []move
	moves = append(moves, move{"poll_oneoff of 0x10000000", func(b *bout) {
		for _, n := range []uint64{0x10000000, 0x05555556, 1<<32 - 1, 1 << 31} {
			got := b.orders(b.service(), p.order("poll_oneoff", 0, 1024, n, 4096))
			if got[0] != wasiInval && got[0] != wasiFault {
				b.Errorf("%d subscriptions: %d, want EINVAL or EFAULT", n, got[0])
			}
		}
	}}, move{"fd_write and fd_read of 4e9 vectors", func(b *bout) {
		for _, name := range []string{"fd_write", "fd_read"} {
			got := b.orders(b.service(), p.order(name, 1, 0, 4e9, 0), p.order(name, 1, end-8, 2, 0), p.order(name, 1, 0, 1<<29, 0))
			for i, errno := range got {
				if errno != wasiFault && errno != wasiInval && errno != wasiBadf {
					b.Errorf("%s %d: %d, want EFAULT or EINVAL", name, i, errno)
				}
			}
		}
	}}, move{"pointers of the guest contract", func(b *bout) {
		for _, name := range []string{abi.ImportInputRead, abi.ImportHeadRead, abi.ImportHeadWrite, abi.ImportOutputWrite} {
			for _, x := range [][2]uint64{{end, 1}, {end - 1, 2}, {0, end + 1}, {1<<32 - 1, 1}, {1<<32 - 1, 1<<32 - 1}, {1, 1<<32 - 1}} {
				if got := b.orders(b.service(), p.order(name, x[0], x[1])); got[0] != abi.ErrFault {
					b.Errorf("%s(%d, %d): %d, want %d", name, x[0], x[1], got[0], abi.ErrFault)
				}
			}
		}
	}})
	for _, module := range []string{abi.HostModule, abi.WASIModule} {
		for name, t := range wasmbin.HostFunctions(module) {
			moves = append(moves, move{module + "." + name, func(b *bout) {
				for i := range edges {
					args := make([]uint64, len(t.Params))
					for k := range args {
						args[k] = edges[(i*(k+1)+k)%len(edges)]
					}
					b.survives(p.order(name, args...))
				}
			}})
		}
	}
	slices.SortStableFunc(moves[3:], func(a, b move) int { return strings.Compare(a.name, b.name) })
	return &row{
		number: 18, name: "counts and pointers that lie, to every host function", once: true,
		setup: func(b *bout) { b.mustPublish(b.service(), wasm, limitOf) },
		moves: moves, peakCore: 64 << 20, peakRunner: 96 << 20,
	}
}

// survives calls a host function with arbitrary arguments: any failure is the
// guest's fault, never the host's.
func (b *bout) survives(order []byte) {
	began := time.Now()
	_, err := b.call(b.service(), order)
	b.bounded("a host function", time.Since(began), limitOf+time.Second)
	if err == nil {
		return
	}
	switch e := faultrpc.FromError(err); e.Reason {
	case fault.GuestTrap, fault.GuestExit, fault.GuestError, fault.GuestTimeout, fault.GuestOutputLimit:
	default:
		b.Errorf("got %s %s", e.Reason, e.Message)
	}
}

// pathRow is row 24: there are no files, under any name.
func pathRow() *row {
	p, wasm := newPuppet()
	const at, to, out = 1024, 4096, 8192
	paths := []string{
		"etc/passwd", "../../etc/passwd", "/etc/passwd", "../../../../../../etc/passwd/", ".", "..", "/", "",
		"proc/self/environ", "/proc/self/fd/1", "//etc//passwd", "./../etc/passwd", "etc/passwd\x00.txt", strings.Repeat("../", 300),
	}
	allowed := func(errno int64) bool { return errno == wasiBadf || errno == wasiNotcapable }
	// Descriptor 3 is an empty directory: nothing in it can be found, made or changed.
	const root = 3
	inRoot := func(name, path string, errno int64) bool {
		switch errno {
		case 0:
			return path == "." && (name == "path_open" || name == "path_filestat_get")
		case wasiNoent, wasiNotcapable, wasiRofs, wasiExist, wasiInval, wasiIsdir, wasiPerm:
			return true
		}
		return false
	}
	each := func(name string, orders func(fd uint64, path string) []byte) move {
		return move{name, func(b *bout) {
			for _, path := range paths {
				list := p.write(at, []byte(path))
				list = append(list, p.write(to, []byte("evil"))...)
				skip := count(list)
				fds := []uint64{0, 1, 2, 3, 4, 5, 100, 1<<31 - 1, 1<<32 - 1}
				for _, fd := range fds {
					list = append(list, orders(fd, path)...)
				}
				for i, errno := range b.orders(b.service(), list)[skip:] {
					if fds[i] == root && inRoot(name, path, errno) {
						continue
					}
					if !allowed(errno) && !(errno == wasiNotsup) {
						b.Errorf("%s of %.40q at %d: %d, want EBADF or ENOTCAPABLE", name, path, fds[i], errno)
					}
				}
			}
		}}
	}
	length := func(s string) uint64 { return uint64(len(s)) }
	moves := []move{
		each("path_open", func(fd uint64, path string) []byte {
			return p.order("path_open", fd, 1, at, length(path), 0, math.MaxInt32, math.MaxInt32, 0, out)
		}),
		each("path_open, to create", func(fd uint64, path string) []byte {
			return p.order("path_open", fd, 0, at, length(path), 9, math.MaxInt32, math.MaxInt32, 0, out)
		}),
		each("path_filestat_get", func(fd uint64, path string) []byte {
			return p.order("path_filestat_get", fd, 1, at, length(path), out)
		}),
		each("path_readlink", func(fd uint64, path string) []byte {
			return p.order("path_readlink", fd, at, length(path), out, 1000, out+1000)
		}),
		each("path_symlink", func(fd uint64, path string) []byte {
			return p.order("path_symlink", at, length(path), fd, to, 4)
		}),
		each("path_link", func(fd uint64, path string) []byte {
			return p.order("path_link", fd, 1, at, length(path), fd, to, 4)
		}),
		each("path_rename", func(fd uint64, path string) []byte {
			return p.order("path_rename", fd, at, length(path), fd, to, 4)
		}),
		each("path_create_directory", func(fd uint64, path string) []byte {
			return p.order("path_create_directory", fd, at, length(path))
		}),
		each("path_unlink_file", func(fd uint64, path string) []byte {
			return p.order("path_unlink_file", fd, at, length(path))
		}),
		each("path_remove_directory", func(fd uint64, path string) []byte {
			return p.order("path_remove_directory", fd, at, length(path))
		}),
		{"preopens", func(b *bout) {
			var list []byte
			for fd := range uint64(64) {
				if fd == root {
					continue
				}
				list = append(list, p.order("fd_prestat_get", fd, out)...)
				list = append(list, p.order("fd_prestat_dir_name", fd, out, 100)...)
				list = append(list, p.order("fd_readdir", fd, out, 100, 0, out+200)...)
				if fd > 2 {
					list = append(list, p.order("fd_read", fd, out, 0, out)...)
					list = append(list, p.order("fd_write", fd, out, 0, out)...)
					list = append(list, p.order("fd_filestat_get", fd, out)...)
				}
			}
			for i, errno := range b.orders(b.service(), list) {
				if !allowed(errno) {
					b.Errorf("order %d about a file that there is not: %d, want EBADF", i, errno)
				}
			}
			for i, errno := range b.orders(b.service(), p.order("fd_prestat_get", root, out), p.order("fd_read", root, out, 0, out), p.order("fd_write", root, out, 0, out),
				p.order("fd_readdir", root, out, 100, 0, out+200), p.order("fd_close", root), p.order("path_open", root, 1, at, 1, 0, math.MaxInt32, math.MaxInt32, 0, out)) {
				if want := []int64{0, wasiIsdir, wasiBadf, 0, 0, wasiInval}[i]; errno != want {
					b.Errorf("order %d about the empty directory: %d, want %d", i, errno, want)
				}
			}
		}},
		{"renumbered streams", func(b *bout) {
			got := b.orders(b.service(), p.order("fd_renumber", 1, 4), p.order("fd_prestat_get", 4, out),
				p.order("path_open", 4, 1, at, 1, 0, math.MaxInt32, math.MaxInt32, 0, out))
			if !allowed(got[1]) || !allowed(got[2]) {
				b.Errorf("a stream that was renumbered is a directory: %v", got)
			}
			// The next call has its streams nevertheless.
			if got := b.orders(b.service(), p.order("fd_fdstat_get", 1, out)); got[0] != 0 {
				b.Errorf("stdout of the next call: %d", got[0])
			}
		}},
		{"environment", func(b *bout) {
			// The bindings of the revision, and nothing of the runner's environment.
			got := b.orders(b.service(), p.order("environ_sizes_get", out, out+8), p.order("peek", out))
			want := fmt.Sprintf("API_TOKEN=%s\x00", secret)
			if int32(got[1]) != 1 {
				b.Errorf("the guest sees %d variables, want 1", int32(got[1]))
			}
			if got := b.orders(b.service(), p.order("environ_sizes_get", out, out+8), p.order("peek", out+8)); int(int32(got[1])) != len(want) {
				b.Errorf("the guest's environment has %d bytes, want %d", int32(got[1]), len(want))
			}
		}},
	}
	return &row{
		number: 24, name: "files by path, preopen, symlink, guess", once: true,
		setup: func(b *bout) { b.mustPublish(b.service(), wasm, time.Second) },
		moves: moves, peakCore: 64 << 20, peakRunner: 96 << 20,
	}
}
