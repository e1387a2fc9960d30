package source

import (
	"os"
	"os/user"
	"path/filepath"
)

// maxOrigin is how long an origin can be, in bytes.
const maxOrigin = 512

// origin says where a service is published from, for those who find that somebody
// else has replaced theirs: "ada@laptop:/src/greet". What is not known is left
// out.
func origin(path string) string {
	who, where := "", ""
	if u, err := user.Current(); err == nil {
		who = u.Username + "@"
	}
	if host, err := os.Hostname(); err == nil {
		where = host + ":"
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if text := who + where + path; len(text) <= maxOrigin {
		return text
	}
	return ""
}
