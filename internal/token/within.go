package token

import (
	"encoding/base64"
	"strings"
)

// Within reports whether a text holds what looks like a token of any cluster, whether
// or not that is good. Underscores can be written as in a URL.
func Within(text string) bool {
	for {
		_, rest, found := strings.Cut(text, "ruedo")
		if !found || begins(rest) {
			return found
		}
		text = rest
	}
}

// begins reports whether a text goes on after "ruedo" as tokens do: _t_7kq2m9x4tb_ for
// those of users, and links; _c_ for those that cores show each other.
func begins(text string) bool {
	text, ok := underscore(text)
	if !ok || text == "" || text[0] < 'a' || text[0] > 'z' {
		return false
	}
	core := text[0] == 'c'
	if text, ok = underscore(text[1:]); !ok || core {
		return ok
	}
	id := strings.TrimLeft(text, "abcdefghijklmnopqrstuvwxyz234567")
	_, ok = underscore(id)
	return ok && len(text)-len(id) == idLen
}

// underscore cuts an underscore off the front.
func underscore(text string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "_"); ok {
		return rest, true
	}
	if len(text) >= 3 && strings.EqualFold(text[:3], "%5F") {
		return text[3:], true
	}
	return "", false
}

// WithinAuthorization reports whether a value of the header field Authorization can be
// a token, or hold one: mistyped or cut off, it is still one, and its secret may be
// whole. A name and a password of Basic are looked at as they were before their
// encoding.
func WithinAuthorization(value string) bool {
	if scheme, encoded, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "basic") {
		decoded, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded)) // what comes before a mistake
		value += string(decoded)
	}
	return strings.Contains(strings.ToLower(value), start) || Within(value)
}
