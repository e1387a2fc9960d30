package token

import (
	"regexp"
	"strings"
)

// secrets match texts of all kinds, and what is left of one that was cut off or
// mistyped.
var secrets = regexp.MustCompile(`ruedo_(?:c_[^\s"'<>]+|[tij]_[0-9A-Za-z_]+)`)

// Redact replaces the secret of everything in a text that looks like a token.
func Redact(text string) string {
	if !strings.Contains(text, start) {
		return text
	}
	return secrets.ReplaceAllStringFunc(text, func(secret string) string {
		if len(secret) >= secretAt && secret[secretAt-1] == '_' && !IsCore(secret) {
			return secret[:secretAt] + redacted // the id is public
		}
		return secret[:idAt] + redacted
	})
}
