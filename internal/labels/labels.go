// Package labels holds what runners say of themselves, and selectors that choose
// among runners by it.
//
//	set, err := labels.Parse([]string{"zone=eu-1", "rack=7"})
//	sel, err := labels.ParseSelector("zone=eu-1,rack in (7,8),!gpu")
//	sel.Matches(set) // true
//
// Keys, values and selectors follow the rules of Kubernetes, so that labels of
// nodes can be used as they are.
package labels

import (
	"maps"
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// Zone is the key of the label that says where a runner is. A core prefers
// runners of its own zone.
const Zone = "zone"

// Bounds of a set. Lengths are in bytes.
const (
	MaxLabels = 32
	MaxName   = 63  // of a key after its prefix, and of a value
	MaxPrefix = 253 // of a key, before the slash
)

// Example is a set as it is written, for errors.
const Example = "zone=eu-1 rack=7"

// Parse reads labels, each as key=value. The value can be empty. It fails with
// REQUEST_INVALID if a label is not valid or stands twice, or if there are more
// than MaxLabels. The set is nil if there are no labels.
func Parse(words []string) (map[string]string, error) {
	var set map[string]string
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return nil, invalid("the label %q has no value: key=value is expected, and %s= for an empty value", fault.Cut(w, 80), fault.Cut(w, 80))
		}
		if _, twice := set[key]; twice {
			return nil, invalid("the label %s stands twice", fault.Cut(key, 80))
		}
		if set == nil {
			set = make(map[string]string)
		}
		set[key] = value
	}
	return set, Check(set)
}

// Check returns REQUEST_INVALID if a set has too many labels, or one that is not
// valid.
func Check(set map[string]string) error {
	if len(set) > MaxLabels {
		return invalid("%s are too many, the maximum is %d", text.Count(len(set), "label"), MaxLabels).With("limit", MaxLabels, "actual", len(set))
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if why := CheckKey(key); why != "" {
			return invalid("the label %q is not valid: %s", fault.Cut(key, 80), why)
		}
		if why := CheckValue(set[key]); why != "" {
			return invalid("the value %q of the label %s is not valid: %s", fault.Cut(set[key], 80), key, why)
		}
	}
	return nil
}

func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.RequestInvalid, format, args...).WithFix("write labels as in %s", Example)
}

// Format returns a set as it is written in a selector that it meets, sorted by
// key: "rack=7,zone=eu-1".
func Format(set map[string]string) string {
	var b strings.Builder
	for i, key := range slices.Sorted(maps.Keys(set)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(key + "=" + set[key])
	}
	return b.String()
}

// CheckKey returns why a key is not valid; "" if it is. A key is a name of 1 to
// MaxName letters, digits, dashes, dots and underscores that begins and ends with
// a letter or digit. A domain and a slash can precede it.
func CheckKey(key string) string {
	prefix, name, ok := strings.Cut(key, "/")
	if !ok {
		prefix, name = "", key
	} else if !isDomain(prefix) {
		return "before the slash, a domain of lower-case letters, digits, dashes and dots is expected, at most 253 long"
	}
	if name == "" || CheckValue(name) != "" {
		return "a key of letters, digits, dashes, dots and underscores is expected, 1 to 63 long, with a letter or digit at both ends"
	}
	return ""
}

// CheckValue returns why a value is not valid; "" if it is. A value is empty, or
// has the form of a name.
func CheckValue(value string) string {
	if value == "" {
		return ""
	}
	if len(value) <= MaxName && isAlphanumeric(value[0]) && isAlphanumeric(value[len(value)-1]) && strings.IndexFunc(value, notInName) < 0 {
		return ""
	}
	return "letters, digits, dashes, dots and underscores are expected, at most 63, with a letter or digit at both ends"
}

func notInName(r rune) bool {
	return r >= 0x80 || !isAlphanumeric(byte(r)) && !strings.ContainsRune("-._", r)
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isDomain reports whether s is a domain as Kubernetes writes it: lower-case
// names that are joined by dots.
func isDomain(s string) bool {
	if s == "" || len(s) > MaxPrefix || s != strings.ToLower(s) || strings.Contains(s, "_") {
		return false
	}
	for name := range strings.SplitSeq(s, ".") {
		if name == "" || CheckValue(name) != "" {
			return false
		}
	}
	return true
}
