//go:build unix

package api

import (
	"os"

	"golang.org/x/sys/unix"
)

// reserve gives zeros outside of the heap, which take memory as they are
// written. giveBack must be called.
func reserve(size int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return b, os.NewSyscallError("mmap", err)
}

// giveBack frees what reserve gave.
func giveBack(b []byte) {
	if b != nil {
		_ = unix.Munmap(b) // it fails only for what reserve did not give
	}
}
