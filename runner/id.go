package runner

import (
	"crypto/rand"
	"strings"
)

const idChars = "abcdefghijklmnopqrstuvwxyz234567"

// newID makes an id of a name: the name as far as ids allow it, and six random
// characters.
func newID(name string) string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	for i := range b {
		b[i] = idChars[b[i]%32]
	}
	s := sanitize(name)
	return strings.TrimRight(s[:min(len(s), 63-7)], "-") + "-" + string(b[:])
}

// sanitize makes a host's name, or what people chose, a valid name.
func sanitize(s string) string {
	s, _, _ = strings.Cut(s, ".") // of a host its first label
	s = strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '-'
	}, s)
	s = strings.Trim(s[:min(len(s), 63)], "-")
	if s == "" {
		return "runner"
	}
	return s
}
