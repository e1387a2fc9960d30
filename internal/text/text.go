// Package text formats human-readable counts, sizes, lists and causes:
//
//	text.Count(2, "service")             // 2 services
//	text.Size(1536)                      // 1.5 KiB
//	text.Exact(64 << 20)                 // 64 MiB
//	text.List([]string{"a", "b"}, 5)     // a, b and 3 others
//	text.Cause(err)                      // no such file or directory
package text

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Count returns a number of things. The plural of noun takes an s.
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// Exact writes a number of bytes exactly: in the largest binary unit that divides
// it, else in bytes.
func Exact(n uint64) string {
	for i, unit := range [...]string{"GiB", "MiB", "KiB"} {
		if shift := 30 - 10*i; n>>shift != 0 && n&(1<<shift-1) == 0 {
			return strconv.FormatUint(n>>shift, 10) + " " + unit
		}
	}
	if n == 1 {
		return "1 byte"
	}
	return strconv.FormatUint(n, 10) + " bytes"
}

// List joins names, and says how many of the total are missing from them.
func List(names []string, total int) string {
	all := strings.Join(names, ", ")
	if more := total - len(names); more > 0 {
		all += " and " + Count(more, "other")
	}
	return all
}

// Cause returns the text of an I/O error without the operation and the paths, for
// errors that name the path themselves.
func Cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	if le, ok := errors.AsType[*os.LinkError](err); ok { // of a rename
		return le.Err.Error()
	}
	return err.Error()
}
