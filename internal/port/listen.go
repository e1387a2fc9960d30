package port

import (
	"errors"
	"net"
	"syscall"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Listen opens a TCP port; port 0 picks one. It fails with PORT_IN_USE if the
// port is taken.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fault.Wrap(err, fault.PortInUse, "the address %s is in use by another process", addr).
			WithFix("stop that process, or choose another port")
	case errors.Is(err, syscall.EACCES):
		return nil, fault.Wrap(err, fault.ConfigInvalid, "this user may not listen on %s", addr).WithFix("choose a port from 1024 on, or give the process the right to use it")
	}
	return nil, fault.Wrap(err, fault.ConfigInvalid, "cannot listen on %s: %v", addr, cause(err)).
		WithFix("use an address of this machine, for example 127.0.0.1")
}

// cause returns why, without the address, which is said already.
func cause(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}
