package cores

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
)

// Attempt is a core that was asked in vain.
type Attempt struct {
	URL string // for display
	Err error  // without method and URL
}

func (c *Cores) attempt(at int32, err error) Attempt {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // connect-go would replace the whole error by that
	}
	return Attempt{shown(c.list[at]), err}
}

// Error is what went wrong with a request. It has one attempt for each core that
// was asked; only the last one may have received the request.
type Error struct {
	Attempts []Attempt
	// NotSent is true if no core has received the request.
	NotSent bool
}

func (e *Error) Error() string { return e.last().Err.Error() }

// Unwrap returns the error of the last attempt.
func (e *Error) Unwrap() error { return e.last().Err }

func (e *Error) last() Attempt { return e.Attempts[len(e.Attempts)-1] }

// maxTried is how many cores a text names that were asked in vain.
const maxTried = 8

// Tried names the cores and why they cannot be reached: "http://a:7833: connection
// refused".
func (e *Error) Tried() string {
	var b strings.Builder
	for i, a := range e.Attempts {
		if i == maxTried {
			fmt.Fprintf(&b, "; and at %d more", len(e.Attempts)-i)
			break
		}
		if i > 0 {
			b.WriteString("; at ")
		}
		b.WriteString(a.URL + ": " + cause(a.Err))
	}
	return b.String()
}

// cause returns the last part of an error of a connection: "connection refused"
// rather than "dial tcp 127.0.0.1:7833: connect: connection refused".
func cause(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return err.Error()
	}
	if dns, ok := errors.AsType[*net.DNSError](op.Err); ok {
		return dns.Err
	}
	text := op.Err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return text
}
