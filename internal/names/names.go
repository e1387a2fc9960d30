// Package names is the rule for names: those of services, decorators, runners,
// cores, jobs and clusters.
package names

import "strings"

const (
	// Max is the length of the longest name, in bytes.
	Max = 63
	// Pattern is what a name matches.
	Pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
	// Rule is Pattern in words.
	Rule = "1 to 63 characters of a-z, 0-9 and '-', neither first nor last a '-'"
)

// Valid reports whether s is a valid name.
func Valid(s string) bool {
	if len(s) == 0 || len(s) > Max || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// Near returns a valid name that is close to s; empty if s has no character
// that a name can have.
func Near(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	s = strings.TrimLeft(s, "-")
	return strings.TrimRight(s[:min(len(s), Max)], "-")
}

// ValidDigest reports whether s is the name of a module: a SHA-256 in 64
// lower-case hexadecimal digits.
func ValidDigest(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'f') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
