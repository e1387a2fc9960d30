package runner

import (
	"crypto/rand"
	"strings"
)

const idChars = "abcdefghijklmnopqrstuvwxyz234567"

// newID returns an id for a name: the characters of the name that ids allow,
// and six random characters.
func newID(name string) string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	for i := range b {
		b[i] = idChars[b[i]%32]
	}
	s := sanitize(name)
	return strings.TrimRight(s[:min(len(s), 63-7)], "-") + "-" + string(b[:])
}

// sanitize turns a host's name, or one that a user chose, into a valid name.
func sanitize(s string) string {
	s, _, _ = strings.Cut(s, ".") // only the first label of a host's name
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
