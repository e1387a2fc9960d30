package stream

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// Bounds of a head that a guest writes.
const (
	// MaxHead is how many bytes a head or trailers can have.
	MaxHead = 64 << 10
	// maxFields is how many fields one can have.
	maxFields = 512
	// maxURL is how many bytes the URL of an outbound stream can have.
	maxURL = 8 << 10
)

// Errors of a head.
var (
	ErrHeadTooLarge = errors.New("the head is too large")
	ErrHeadInvalid  = errors.New("the head is malformed")
)

// Response is what the host reads in the head of an answer.
type Response struct {
	// Status is 200 if the head has none.
	Status int
	// ContentType is the field of that name, or "".
	ContentType string
}

// Informational reports whether another head follows this one.
func (r Response) Informational() bool { return r.Status < 200 && r.Status != 101 }

// CheckResponse checks the head of an answer: `:status` at most once and in
// three digits from 100 to 599, no other name with a colon, and fields that can
// stand in HTTP.
func CheckResponse(head []byte) (Response, error) {
	r, seen := Response{Status: 200}, false
	err := each(head, func(name, value string) bool {
		if name == abi.HeadStatus {
			n, err := strconv.Atoi(value)
			if err != nil || len(value) != 3 || n < 100 || n > 599 || seen {
				return false
			}
			r.Status, seen = n, true
			return true
		}
		if strings.EqualFold(name, abi.HeadContentType) {
			r.ContentType = value
		}
		return validName(name)
	})
	return r, err
}

// CheckTrailers checks the trailers of an answer: fields that can stand in HTTP,
// and none that HTTP forbids behind a body, such as content-length.
func CheckTrailers(trailers []byte) error {
	return each(trailers, func(name, _ string) bool { return validName(name) && !forbidden(strings.ToLower(name)) })
}

// forbidden reports whether a field must not be in trailers, because it says how
// a message is framed, routed, authenticated or read (RFC 9110, 6.5.1).
func forbidden(name string) bool {
	switch name {
	case "authorization", "cache-control", "connection", "content-encoding", "content-length", "content-range", "content-type",
		"cookie", "expect", "host", "keep-alive", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization",
		"proxy-connection", "range", "realm", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "www-authenticate":
		return true
	}
	return strings.HasPrefix(name, "if-")
}

// Field is one field of a head.
type Field struct{ Name, Value string }

// Outbound is the head of an outbound stream.
type Outbound struct {
	// URL is absolute, with a host, and its scheme is http, https, tcp, tls or udp.
	URL *url.URL
	// Method of an HTTP request; GET if the head has none.
	Method string
	// Length of the body of an HTTP request in bytes: -1 if it streams, 0 if there
	// is none.
	Length int64
	// Fields of an HTTP request, in order. Their names have any case.
	Fields []Field
}

// ParseOutbound reads the head of an outbound stream.
func ParseOutbound(head []byte) (*Outbound, error) {
	o, seen := &Outbound{Method: "GET"}, map[string]bool{}
	err := each(head, func(name, value string) bool {
		if !strings.HasPrefix(name, ":") {
			o.Fields = append(o.Fields, Field{name, value})
			return validName(name)
		}
		if seen[name] {
			return false
		}
		seen[name] = true
		var err error
		switch name {
		case abi.HeadURL:
			if len(value) > maxURL {
				return false
			}
			o.URL, err = url.Parse(value)
		case abi.HeadMethod:
			o.Method = value
			return validName(value)
		case abi.HeadLength:
			o.Length, err = strconv.ParseInt(value, 10, 64)
			return err == nil && o.Length >= -1
		default:
			return false
		}
		return err == nil
	})
	switch {
	case err != nil:
		return nil, err
	case o.URL == nil || o.URL.Hostname() == "" || o.URL.Opaque != "":
		return nil, ErrHeadInvalid
	}
	switch o.URL.Scheme {
	case "http", "https":
		return o, nil
	case "tcp", "tls", "udp":
		// They are an address, and nothing else.
		u := o.URL
		if u.Port() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || len(o.Fields) > 0 {
			return nil, ErrHeadInvalid
		}
		return o, nil
	}
	return nil, ErrHeadInvalid
}

// each calls f for the fields of a head, whose values have neither ends of lines
// nor other control characters.
func each(head []byte, f func(name, value string) bool) error {
	if len(head) > MaxHead {
		return ErrHeadTooLarge
	}
	for n := 0; len(head) > 0; n++ {
		name, value, rest, ok := abi.NextField(head)
		switch {
		case n == maxFields:
			return ErrHeadTooLarge
		case !ok || !validValue(value) || !f(name, value):
			return ErrHeadInvalid
		}
		head = rest
	}
	return nil
}

// validName reports whether s is a token of HTTP.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// validValue reports whether s can be the value of a field.
func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// Plain reports whether s has at most 8 KiB and only printable ASCII, as the head of
// a function must.
func Plain(s string) bool {
	if len(s) > 8<<10 {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
