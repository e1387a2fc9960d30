package runner

import (
	"cmp"
	"crypto/rand"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/names"
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
	return strings.TrimRight(s[:min(len(s), names.Max-7)], "-") + "-" + string(b[:])
}

// sanitize turns a host's name, or one that a user chose, into a valid name.
func sanitize(s string) string {
	s, _, _ = strings.Cut(s, ".") // only the first label of a host's name
	return cmp.Or(names.Near(s), "runner")
}
