package host

import (
	"errors"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// ErrHead is the error of a head that breaks off.
var ErrHead = errors.New("the head is malformed")

// nextString is as abi.NextField reads, without a copy.
func nextString(s string) (first, rest string, ok bool) {
	if len(s) < 4 {
		return "", "", false
	}
	n := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
	if n > uint64(len(s)-4) {
		return "", "", false
	}
	return s[4 : 4+n], s[4+n:], true
}

// usualField is about how many bytes a field takes in a head.
const usualField = 48

// ParseFields returns the header fields of a head; control gets those whose
// names begin with a colon.
func ParseFields(head string, control func(key, value string)) (http.Header, error) {
	header := make(http.Header, len(head)/usualField)
	if err := AddFields(header, nil, head, control); err != nil {
		return nil, err
	}
	return header, nil
}

// AddFields is ParseFields into a header that is empty. Room is where the values go,
// as far as it has a capacity. The head is one string, so that names and values can be
// parts of it.
func AddFields(header http.Header, room []string, head string, control func(key, value string)) error {
	for head != "" {
		key, rest, ok := nextString(head)
		if !ok {
			return ErrHead
		}
		value, rest, ok := nextString(rest)
		if !ok {
			return ErrHead
		}
		head = rest
		if key != "" && key[0] == ':' {
			if control != nil {
				control(key, value)
			}
			continue
		}
		key = canonical(key)
		if have := header[key]; have != nil {
			header[key] = append(have, value)
			continue
		}
		if len(room) == cap(room) {
			room = make([]string, 0, 8)
		}
		room = append(room, value) // one slice for many: most fields have one value
		header[key] = room[len(room)-1 : len(room) : len(room)]
	}
	return nil
}

// canonical is textproto.CanonicalMIMEHeaderKey, which makes a copy of a name before it
// looks for it. These are in most requests.
func canonical(key string) string {
	switch key {
	case "accept":
		return "Accept"
	case "accept-encoding":
		return "Accept-Encoding"
	case "accept-language":
		return "Accept-Language"
	case "cache-control":
		return "Cache-Control"
	case "connect-accept-encoding":
		return "Connect-Accept-Encoding"
	case "connect-protocol-version":
		return "Connect-Protocol-Version"
	case "connect-timeout-ms":
		return "Connect-Timeout-Ms"
	case "content-encoding":
		return "Content-Encoding"
	case "content-length":
		return "Content-Length"
	case "content-type":
		return "Content-Type"
	case "cookie":
		return "Cookie"
	case "grpc-accept-encoding":
		return "Grpc-Accept-Encoding"
	case "grpc-timeout":
		return "Grpc-Timeout"
	case "origin":
		return "Origin"
	case "referer":
		return "Referer"
	case "te":
		return "Te"
	case "user-agent":
		return "User-Agent"
	case "x-forwarded-for":
		return "X-Forwarded-For"
	case "x-forwarded-host":
		return "X-Forwarded-Host"
	case "x-forwarded-prefix":
		return "X-Forwarded-Prefix"
	case "x-forwarded-proto":
		return "X-Forwarded-Proto"
	}
	return textproto.CanonicalMIMEHeaderKey(key)
}

// AppendFields appends header fields to a head as net/http writes them: fields
// without a valid name are left out, and values stay on one line. It leaves out
// the names for which skip, unless it is nil, returns true.
func AppendFields(head []byte, header http.Header, skip func(name string) bool) []byte {
	for name, values := range header {
		if !IsToken(name) || skip != nil && skip(name) {
			continue
		}
		for _, v := range values {
			if v, ok := FieldValue(v); ok {
				head = abi.AppendField(head, name, v)
			}
		}
	}
	return head
}

// FieldValue returns a value without line breaks and surrounding spaces, or
// false if it has other control characters.
func FieldValue(v string) (string, bool) {
	for i := 0; i < len(v); i++ {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			v = newlines.Replace(v)
			for i := 0; i < len(v); i++ {
				if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
					return "", false
				}
			}
			break
		}
	}
	return textproto.TrimString(v), true
}

var newlines = strings.NewReplacer("\n", " ", "\r", " ")

// IsToken reports whether s can be the name of a header field.
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// notTrailers are fields that say how a message is framed, routed, authenticated
// or read, which is too late after its body. The host refuses them.
var notTrailers = map[string]bool{
	"Authorization":       true,
	"Cache-Control":       true,
	"Connection":          true,
	"Content-Encoding":    true,
	"Content-Length":      true,
	"Content-Range":       true,
	"Content-Type":        true,
	"Cookie":              true,
	"Expect":              true,
	"Host":                true,
	"Keep-Alive":          true,
	"Max-Forwards":        true,
	"Pragma":              true,
	"Proxy-Authenticate":  true,
	"Proxy-Authorization": true,
	"Proxy-Connection":    true,
	"Range":               true,
	"Realm":               true,
	"Set-Cookie":          true,
	"Te":                  true,
	"Trailer":             true,
	"Transfer-Encoding":   true,
	"Upgrade":             true,
	"Www-Authenticate":    true,
}

// ValidTrailer reports whether a field, by its canonical name, can be a trailer.
func ValidTrailer(name string) bool {
	return IsToken(name) && !strings.HasPrefix(name, "If-") && !notTrailers[name]
}

// EachElement calls fn for each name in a list such as that of the field
// Trailer.
func EachElement(list string, fn func(name string)) {
	for name := range strings.SplitSeq(list, ",") {
		if name = textproto.TrimString(name); name != "" {
			fn(name)
		}
	}
}
