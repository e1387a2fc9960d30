package wasi

import (
	"fmt"
	"strings"
)

// Refused returns which argument or variable of an environment WASI cannot carry,
// or "". It does not name values, which may be secrets.
func Refused(args []string, env map[string]string) string {
	for k, v := range env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return fmt.Sprintf("the environment variable %q", k)
		}
	}
	for i, a := range args {
		if strings.Contains(a, "\x00") {
			return fmt.Sprintf("argument %d", i+1)
		}
	}
	return ""
}

// maxPath is the longest path, in bytes.
const maxPath = 4096

// Path returns a path without slashes and dots at its ends; "" is the directory that
// it starts from. A path that leaves that directory is refused.
func Path(b []byte) (path string, errno uint32) {
	if len(b) > maxPath {
		return "", Nametoolong
	}
	var names []string
	for name := range strings.SplitSeq(string(b), "/") {
		switch name {
		case "", ".":
		case "..":
			if len(names) == 0 {
				return "", Notcapable
			}
			return "", Noent // of the name before it
		default:
			names = append(names, name)
		}
	}
	switch {
	case len(b) == 0:
		return "", Noent
	case b[0] == '/':
		return "", Notcapable
	case strings.Contains(string(b), "\x00"):
		return "", Inval
	}
	return strings.Join(names, "/"), OK
}
