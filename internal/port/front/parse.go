package front

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxBody is the longest body of a plain request, in bytes.
	maxBody = 32 << 10
	// maxFields bounds the fields of a head.
	maxFields = 64

	method    = "POST "
	endOfHead = "\r\n\r\n"
	proto     = " HTTP/1.1\r\n"
)

// head is the head of a plain request. It can be read into again and again.
type head struct {
	path, host string
	fields     http.Header
	length     int // of the body
	size       int // of the head itself
	handler    http.Handler

	values []string // of the fields
}

// usual is up to how many fields a head keeps memory for.
const usual = 16

// reset forgets what was read.
func (h *head) reset() {
	clear(h.fields)
	clear(h.values)
	if len(h.values) > usual {
		h.fields, h.values = nil, nil
	}
	*h = head{fields: h.fields, values: h.values[:0], length: -1}
}

// parse reads a head. It reports false if not all of it is there, or if it is not plain:
//
//   - The path is that of a procedure, or a prefix and a name of a-z, 0-9, '-' and '@'.
//     It needs neither decoding nor cleaning.
//   - Lines end with CRLF, the names of fields are of letters, digits and '-', and values
//     are printable ASCII.
//   - There is one Host, of letters, digits and ".:-[]", and one Content-Length, with no
//     sign or leading zero.
//   - Nothing is said about the connection, but that it is kept, and nothing that
//     changes where the body ends, or is answered by more than one answer.
//   - A procedure is sent one message of Connect, in JSON or protobuf: gRPC would be
//     answered with trailers.
func (h *head) parse(b []byte, to routes) bool {
	h.reset()
	end := bytes.Index(b, []byte(endOfHead))
	if end < 0 || !bytes.HasPrefix(b, []byte(method)) {
		return false
	}
	h.size = end + 4
	text := string(b[len(method) : end+2]) // one string, of which all others are parts
	i := strings.IndexByte(text, ' ')
	if i < 0 || !strings.HasPrefix(text[i:], proto) {
		return false
	}
	h.path, text = text[:i], text[i+len(proto):]
	procedure := false
	if h.handler, procedure = to.find(h.path); h.handler == nil {
		return false
	}
	n := strings.Count(text, "\n")
	if n > maxFields {
		return false
	}
	if h.fields == nil {
		h.fields = make(http.Header, n)
	}
	h.values = slices.Grow(h.values, n)
	for text != "" {
		line, after, _ := strings.Cut(text, "\r\n")
		text = after
		name, value, ok := field(line)
		if !ok {
			return false
		}
		switch kindOf(name) {
		case foreign:
			return false
		case host:
			if h.host != "" || !isHost(value) {
				return false
			}
			h.host = value
			continue
		case connection:
			if value != "keep-alive" && value != "Keep-Alive" {
				return false
			}
		case length:
			if h.length >= 0 || !isLength(value) {
				return false
			}
			h.length, _ = strconv.Atoi(value)
		}
		if have := h.fields[name]; have != nil {
			h.fields[name] = append(have, value)
			continue
		}
		h.values = append(h.values, value)
		h.fields[name] = h.values[len(h.values)-1 : len(h.values) : len(h.values)]
	}
	return h.host != "" && h.length >= 0 && h.length <= maxBody && (!procedure || isMessage(h.fields["Content-Type"]))
}

// kind is what a field means to who reads requests.
type kind int

const (
	ordinary kind = iota
	host
	length
	connection
	// foreign fields change how a request is read, or how it is answered.
	foreign
)

func kindOf(name string) kind {
	switch name {
	case "Host":
		return host
	case "Content-Length":
		return length
	case "Connection":
		return connection
	case "Transfer-Encoding", "Te", "Trailer", "Expect", "Upgrade", "Http2-Settings", "Proxy-Connection", "Keep-Alive", "Pragma":
		return foreign
	}
	return ordinary
}

// field returns the parts of a line, the name in the form in which a Header has it.
func field(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, ":")
	if !ok || !all(name, isLetter) {
		return "", "", false
	}
	value = strings.Trim(value, " ")
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' {
			return "", "", false
		}
	}
	return http.CanonicalHeaderKey(name), value, true
}

// isName reports whether s can be the name of what is called. That of a revision has an
// @; the handler says whether it is one.
func isName(s string) bool {
	return all(s, func(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '@' })
}

// isMessage reports whether values of Content-Type are that of a message of Connect.
func isMessage(values []string) bool {
	return len(values) == 1 && (values[0] == "application/json" || values[0] == "application/proto")
}

func isHost(s string) bool {
	return all(s, func(c byte) bool { return isLetter(c) || c == '.' || c == ':' || c == '[' || c == ']' })
}

func isLength(s string) bool {
	return len(s) <= len("32768") && (s == "0" || s != "" && s[0] != '0') && all(s, func(c byte) bool { return '0' <= c && c <= '9' })
}

// isLetter reports whether a byte is one of those that the names of fields have.
func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
}

// all reports whether s is not empty, and of such bytes alone.
func all(s string, are func(byte) bool) bool {
	for i := range len(s) {
		if !are(s[i]) {
			return false
		}
	}
	return s != ""
}
