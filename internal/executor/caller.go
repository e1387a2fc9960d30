package executor

import (
	"fmt"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// MaxCaller is how many bytes the name of a caller can have, as services see it.
const MaxCaller = abi.MaxCaller

// EscapeCaller returns the name of a caller as services see it. Characters that could
// mean something to a shell, a page or a log are written as in a URL, so that two
// names stay two.
func EscapeCaller(name string) string {
	for i := range len(name) {
		if !plain(name[i]) {
			return escapeFrom(name, i)
		}
	}
	return name
}

func escapeFrom(name string, i int) string {
	var b strings.Builder
	b.WriteString(name[:i])
	for ; i < len(name); i++ {
		if plain(name[i]) {
			b.WriteByte(name[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", name[i])
		}
	}
	return b.String()
}

// ValidCaller reports whether services can see a name as that of a caller.
func ValidCaller(name string) bool {
	if len(name) > MaxCaller {
		return false
	}
	for i := range len(name) {
		if !plain(name[i]) && name[i] != '%' {
			return false
		}
	}
	return true
}

func plain(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("-._/@:+=", c) >= 0
}
