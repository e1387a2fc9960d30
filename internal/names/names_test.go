package names_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ruedo-dev/ruedo/internal/names"
)

func TestValidIsThePattern(t *testing.T) {
	pattern := regexp.MustCompile(`\A` + strings.Trim(names.Pattern, "^$") + `\z`)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[-a-z0-9]{0,66}`)).Draw(t, "name")
		if got, want := names.Valid(s), pattern.MatchString(s); got != want {
			t.Fatalf("Valid(%q) = %t, the pattern says %t", s, got, want)
		}
	})
}

func TestValidDigestIsThePattern(t *testing.T) {
	pattern := regexp.MustCompile(`\A[0-9a-f]{64}\z`)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9a-gA]{63,65}`), rapid.StringMatching(`[0-9a-f]{64}`)).Draw(t, "digest")
		if got, want := names.ValidDigest(s), pattern.MatchString(s); got != want {
			t.Fatalf("ValidDigest(%q) = %t, the pattern says %t", s, got, want)
		}
	})
}

func TestNearIsValid(t *testing.T) {
	for s, want := range map[string]string{
		"My Service":                   "my-service",
		"-a_b-":                        "a-b",
		"":                             "",
		"ñ":                            "",
		"--" + strings.Repeat("a", 99): strings.Repeat("a", names.Max),
		strings.Repeat("a", 62) + "-b": strings.Repeat("a", 62),
	} {
		if got := names.Near(s); got != want {
			t.Errorf("Near(%q) = %q, want %q", s, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "name")
		if got := names.Near(s); got != "" && !names.Valid(got) {
			t.Fatalf("Near(%q) = %q, which is not valid", s, got)
		}
	})
}
