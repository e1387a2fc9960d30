package identity

import (
	"cmp"
	"crypto/rand"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/names"
)

const (
	idChars     = "abcdefghijklmnopqrstuvwxyz234567"
	randomChars = 6
)

// New returns a new id for a name: the characters of the name that ids allow,
// and six random characters.
func New(name string) string {
	var b [randomChars]byte
	_, _ = rand.Read(b[:]) // never fails
	for i := range b {
		b[i] = idChars[b[i]%32]
	}
	return prefix(name) + string(b[:])
}

// prefix returns what the ids of a name begin with.
func prefix(name string) string {
	s := Sanitize(name)
	return strings.TrimRight(s[:min(len(s), names.Max-randomChars-1)], "-") + "-"
}

// Sanitize turns a host's name, or one that a user chose, into a valid name.
func Sanitize(s string) string {
	s, _, _ = strings.Cut(s, ".") // only the first label of a host's name
	return cmp.Or(names.Near(s), "runner")
}
