package keys

import (
	"strconv"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// MaxName is the length of the longest name, in bytes.
const MaxName = 63

// digestLen is the length of a SHA-256 in hexadecimal.
const digestLen = 64

// nameRule describes the pattern of names in words.
const nameRule = "1 to 63 characters of a-z, 0-9 and '-', neither first nor last a '-'"

// ValidName reports whether s is a valid name of a service, a decorator, a
// runner, a core or a cluster: ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxName || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// ValidDigest reports whether s is a SHA-256 in 64 lower-case hexadecimal
// digits.
func ValidDigest(s string) bool {
	if len(s) != digestLen {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'f') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// Quote returns a possibly hostile name in a form that is safe for messages:
// quoted, without control characters, and short.
func Quote(s string) string {
	const maxQuoted = 80
	if len(s) <= maxQuoted {
		return strconv.QuoteToASCII(s)
	}
	return strconv.QuoteToASCII(s[:maxQuoted]) + "... (" + strconv.Itoa(len(s)) + " bytes)"
}

func checkName(what, name string) error {
	if ValidName(name) {
		return nil
	}
	return fault.New(fault.RequestInvalid, "%s name %s is not valid: %s", what, Quote(name), nameRule)
}

func checkDigest(digest string) error {
	if ValidDigest(digest) {
		return nil
	}
	return fault.New(fault.RequestInvalid, "module digest %s is not valid: 64 lower-case hexadecimal digits of a SHA-256", Quote(digest))
}
