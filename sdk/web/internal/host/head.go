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

// eachField calls fn for each field of a head, which is passed as one string so
// that names and values can be parts of it.
func eachField(head string, fn func(key, value string)) error {
	for len(head) > 0 {
		key, rest, ok := nextString(head)
		if !ok {
			return ErrHead
		}
		value, rest, ok := nextString(rest)
		if !ok {
			return ErrHead
		}
		fn(key, value)
		head = rest
	}
	return nil
}

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

// ParseFields returns the header fields of a head; control gets those whose
// names begin with a colon.
func ParseFields(head string, control func(key, value string)) (http.Header, error) {
	n := 0
	if err := eachField(head, func(string, string) { n++ }); err != nil {
		return nil, err
	}
	header := make(http.Header, n)
	values := make([]string, 0, n) // one slice for all: most fields have one value
	_ = eachField(head, func(key, value string) {
		if strings.HasPrefix(key, ":") {
			if control != nil {
				control(key, value)
			}
			return
		}
		key = textproto.CanonicalMIMEHeaderKey(key)
		if have := header[key]; have != nil {
			header[key] = append(have, value)
			return
		}
		values = append(values, value)
		header[key] = values[len(values)-1 : len(values) : len(values)]
	})
	return header, nil
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
