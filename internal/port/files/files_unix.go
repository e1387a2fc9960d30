//go:build unix

package files

import "syscall"

// Limit returns how many files the process can have open, or 0 if that is
// not known.
func Limit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur)
}
