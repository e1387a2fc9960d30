// Package text formats human-readable counts and lists:
//
//	text.Count(2, "service")             // 2 services
//	text.List([]string{"a", "b"}, 5)     // a, b and 3 others
package text

import (
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

// List joins names, and says how many of the total are missing from them.
func List(names []string, total int) string {
	all := strings.Join(names, ", ")
	if more := total - len(names); more > 0 {
		all += " and " + Count(more, "other")
	}
	return all
}
