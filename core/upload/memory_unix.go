//go:build unix

package upload

import (
	"os"

	"golang.org/x/sys/unix"
)

// mmapAlloc returns zeroed memory outside the heap, which is committed when it
// is first written. Free it with mmapFree.
func mmapAlloc(size int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return b, os.NewSyscallError("mmap", err)
}

// mmapFree frees what mmapAlloc returned.
func mmapFree(b []byte) {
	if b != nil {
		_ = unix.Munmap(b) // it fails only for memory that mmapAlloc did not return
	}
}
