package httphead

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

// MaxHead is how many bytes the head or the trailers of an answer can have.
const MaxHead = 64 << 10

var errHead = errors.New("the head of the answer is malformed")

// Answer is the head of an answer.
type Answer struct {
	// Status is 200 if the head has none.
	Status int
	// Header has no field that is about the connection or that only a core may
	// set. Content-Length is one number, or absent.
	Header http.Header
	// Close is set if the service wants the connection to be closed afterwards.
	Close bool
	// Upgrade is the protocol that the connection is upgraded to. Only with status
	// 101.
	Upgrade string
}

// Informational reports whether another head follows.
func (a Answer) Informational() bool {
	return a.Status < http.StatusOK && a.Status != http.StatusSwitchingProtocols
}

// ParseAnswer reads the head of an answer. A head that does not follow the rules
// is an error: what cannot stand in HTTP was not written by a service as it is,
// because sandboxes refuse it.
func ParseAnswer(head []byte) (Answer, error) {
	a := Answer{Status: http.StatusOK, Header: make(http.Header)}
	var connection, upgrade []string
	err := each(head, func(name, value string) error {
		switch {
		case name == abi.HeadStatus:
			n, err := strconv.Atoi(value)
			if err != nil || len(value) != 3 || n < 100 || n > 599 {
				return fmt.Errorf("%w: status %.16q", errHead, value)
			}
			a.Status = n
			return nil
		case !httpguts.ValidHeaderFieldName(name):
			return fmt.Errorf("%w: name %.64q", errHead, name)
		}
		switch name = textproto.CanonicalMIMEHeaderKey(name); {
		case name == "Connection":
			connection = append(connection, value)
		case name == "Upgrade":
			upgrade = append(upgrade, value)
		case ofConnection(name) || strings.HasPrefix(name, headers.Prefix):
		default:
			a.Header[name] = append(a.Header[name], value)
		}
		return nil
	})
	if err != nil {
		return Answer{}, err
	}
	for name := range a.Header {
		if len(connection) > 0 && name != "Content-Length" && httpguts.HeaderValuesContainsToken(connection, name) {
			delete(a.Header, name)
		}
	}
	a.Close = httpguts.HeaderValuesContainsToken(connection, "close")
	if a.Status == http.StatusSwitchingProtocols {
		a.Upgrade = strings.Join(upgrade, ", ")
	}
	if length, ok := a.Header["Content-Length"]; ok && !isLength(length) {
		delete(a.Header, "Content-Length")
	}
	return a, nil
}

// isLength reports whether the values of Content-Length are one number.
func isLength(values []string) bool {
	if len(values) != 1 || len(values[0]) == 0 || len(values[0]) > 18 {
		return false
	}
	return strings.Trim(values[0], "0123456789") == ""
}

// AnswerTrailers returns the trailers of an answer. Fields that cannot be trailers
// are left out.
func AnswerTrailers(trailers []byte) http.Header {
	h := make(http.Header)
	err := each(trailers, func(name, value string) error {
		if name = textproto.CanonicalMIMEHeaderKey(name); isTrailer(name) {
			h[name] = append(h[name], value)
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return h
}

// isTrailer reports whether a field, by its canonical name, can be a trailer.
func isTrailer(name string) bool {
	if name == "Cookie" || name == "Set-Cookie" {
		return false
	}
	return httpguts.ValidHeaderFieldName(name) && httpguts.ValidTrailerHeader(name) && !ofConnection(name) && !ofCore(name)
}

// each calls f for the fields of a head.
func each(head []byte, f func(name, value string) error) error {
	if len(head) > MaxHead {
		return fmt.Errorf("the head of the answer has %d bytes, the limit is %d", len(head), MaxHead)
	}
	for len(head) > 0 {
		name, value, rest, ok := abi.NextField(head)
		if !ok || !httpguts.ValidHeaderFieldValue(value) {
			return errHead
		}
		if err := f(name, value); err != nil {
			return err
		}
		head = rest
	}
	return nil
}
