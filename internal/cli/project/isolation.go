package project

import (
	"maps"
	"slices"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// ParseIsolation reads what a service asks for: pristine, shared, fresh, or ""
// for the default.
func ParseIsolation(text string) (ruedov1.Isolation, error) {
	words := map[string]ruedov1.Isolation{
		"":         ruedov1.Isolation_ISOLATION_UNSPECIFIED,
		"pristine": ruedov1.Isolation_ISOLATION_PRISTINE,
		"shared":   ruedov1.Isolation_ISOLATION_SHARED,
		"fresh":    ruedov1.Isolation_ISOLATION_FRESH,
	}
	i, ok := words[text]
	if !ok {
		return 0, fault.New(fault.ConfigInvalid, "unknown isolation %q (use pristine, shared or fresh)", text).
			WithFix("%s", suggest.Or(text, slices.Sorted(maps.Keys(words))[1:], "leave it out for pristine"))
	}
	return i, nil
}

// IsolationName returns the word that ParseIsolation reads; "" if i is not set.
func IsolationName(i ruedov1.Isolation) string {
	if i == ruedov1.Isolation_ISOLATION_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(i.String(), "ISOLATION_"))
}
