package source

import (
	"path/filepath"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// maxOrigin is how long an origin can be, in bytes.
const maxOrigin = 512

// origin says where a service is published from, for those who find that somebody
// else has replaced theirs: "ada@laptop:/src/greet". What is not known is left
// out.
func origin(path string) string {
	where := session.Who()
	if where != "" {
		where += ":"
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if text := where + path; len(text) <= maxOrigin {
		return text
	}
	return ""
}
