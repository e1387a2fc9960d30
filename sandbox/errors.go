package sandbox

import (
	"errors"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// ErrClosed is the cause if a template or an engine was closed before.
var ErrClosed = errors.New("the sandbox is closed")

func closedError(what string) *fault.Error {
	return fault.Wrap(ErrClosed, fault.Internal, "the %s is closed", what)
}
