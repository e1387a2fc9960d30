package keys

import (
	"strconv"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/names"
)

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
	if names.Valid(name) {
		return nil
	}
	return fault.New(fault.RequestInvalid, "%s name %s is not valid: %s", what, Quote(name), names.Rule)
}

func checkDigest(digest string) error {
	if names.ValidDigest(digest) {
		return nil
	}
	return fault.New(fault.RequestInvalid, "module digest %s is not valid: 64 lower-case hexadecimal digits of a SHA-256", Quote(digest))
}
