// Package files knows how many files a process can have open.
package files

import (
	"errors"
	"syscall"
)

// Exhausted reports whether err says that no file descriptor is left.
func Exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
