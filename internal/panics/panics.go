// Package panics turns panics into errors.
package panics

import (
	"fmt"
	"runtime/debug"
)

// Error is a panic of a function that [Try] called.
type Error struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

func (e *Error) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Try calls f and returns its error, or an [*Error] if it panics. It is the last
// resort against a bug in code that must not end the process.
func Try(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Error{v, debug.Stack()}
		}
	}()
	return f()
}
