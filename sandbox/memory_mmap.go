//go:build linux || darwin

package sandbox

import "syscall"

// reserve maps addresses without promising memory for them; nil if there are
// none left.
func reserve(size uint64) []byte {
	if size == 0 {
		return nil
	}
	b, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	return b
}

// extend gives a reservation of at least size bytes with the same content, or
// nil.
func extend(b []byte, size uint64) []byte {
	if uint64(len(b)) < size {
		return nil
	}
	if b == nil {
		return []byte{}
	}
	return b
}

func unreserve(b []byte) {
	if len(b) > 0 {
		// It fails only for a range that is not mapped, which cannot be.
		_ = syscall.Munmap(b)
	}
}
