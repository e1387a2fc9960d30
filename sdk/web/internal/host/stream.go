package host

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// Stream is a descriptor of the host: the exchange's own, an outbound request or
// a connection. Go's poller waits for it, so other goroutines go on.
type Stream struct {
	file *os.File // not embedded: its other methods are not for streams
	host Host
}

// Parts of what the other side says next to its bytes, as stream_head numbers
// them.
const (
	PartHead     = 0
	PartTrailers = 1
)

// NewStream returns the stream of a descriptor. A negative one is an error of the
// host.
func NewStream(h Host, fd int32, name string) (*Stream, error) {
	if fd < 0 {
		return nil, Error(fd)
	}
	f, err := h.File(fd, name)
	if err != nil {
		return nil, err
	}
	return &Stream{file: f, host: h}, nil
}

// Raw gives access to the descriptor, and to waiting for it.
func (s *Stream) Raw() (syscall.RawConn, error) { return s.file.SyscallConn() }

// The errors of these methods name a file; [Cause] returns what is inside.

func (s *Stream) Read(p []byte) (int, error)         { return s.file.Read(p) }
func (s *Stream) Write(p []byte) (int, error)        { return s.file.Write(p) }
func (s *Stream) Close() error                       { return s.file.Close() }
func (s *Stream) SetDeadline(t time.Time) error      { return s.file.SetDeadline(t) }
func (s *Stream) SetReadDeadline(t time.Time) error  { return s.file.SetReadDeadline(t) }
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.file.SetWriteDeadline(t) }

// Part waits for the head or the trailers of the other side.
func (s *Stream) Part(part uint32) (string, error) {
	raw, err := s.Raw()
	if err != nil {
		return "", err
	}
	var head []byte
	var failed error
	buf := make([]byte, 1024)
	err = raw.Read(func(fd uintptr) bool {
		for {
			n := s.host.StreamHead(fd, part, buf)
			switch {
			case n == abi.ErrAgain:
				return false
			case n == abi.ErrBroken:
				failed = io.ErrUnexpectedEOF
				return true
			case n < 0:
				failed = Error(n)
				return true
			case n == 0:
				return true
			}
			head = append(head, buf[:n]...)
		}
	})
	if err := errors.Join(Cause(err), failed); err != nil {
		return "", err
	}
	return string(head), nil
}

// Trailers waits for the trailers of the other side; nil if it sent none.
func (s *Stream) Trailers() (http.Header, error) {
	head, err := s.Part(PartTrailers)
	if err != nil || head == "" {
		return nil, err
	}
	return ParseFields(head, nil)
}

// CloseSide ends one direction, [ReadSide] or [WriteSide].
func (s *Stream) CloseSide(side int) error {
	raw, err := s.Raw()
	if err != nil {
		return Cause(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = s.host.CloseSide(fd, side) })
	return errors.Join(Cause(err), failed)
}

// Cause returns the error inside of one that names a file: callers know of no
// file.
func Cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// ReadError is Cause for the body of a message: if it broke off, that is the
// error that net/http returns.
func ReadError(err error) error {
	if err = Cause(err); err == syscall.ECONNRESET || err == syscall.EPIPE {
		return io.ErrUnexpectedEOF
	}
	return err
}
