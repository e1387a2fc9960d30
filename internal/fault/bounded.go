package fault

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// Bounds of an error that leaves the program, in bytes and in number. Errors
// are logged and travel in headers, so none may be larger than a few kilobytes.
const (
	maxMessage = 2 << 10
	maxFix     = 1 << 10
	maxFact    = 256
	maxFacts   = 8
	maxFields  = 64
	maxField   = 256     // path or description
	maxAll     = 4 << 10 // of all fields together
	maxKey     = 64
)

// MetaStarted is the fact that says whether a failed call has begun: "no",
// "yes" or "unknown".
const MetaStarted = "started"

// MetaPlacement is the fact of a NO_RUNNER that names the placement that no ready
// runner meets. The error does not have it if any runner would do.
const MetaPlacement = "placement"

// Bounded returns e as callers see it: texts are cut, excess fields and facts
// are dropped, and Meta says under [MetaStarted] whether the call has begun, if
// that is known. e itself is not changed.
func (e *Error) Bounded() *Error {
	b := *e
	b.Message, b.Fix = Cut(e.Message, maxMessage), Cut(e.Fix, maxFix)
	b.Fields = boundedFields(e.Fields)
	b.Meta = make(map[string]string, min(len(e.Meta), maxFacts)+1)
	keys := maps.Keys(e.Meta)
	if len(e.Meta) > maxFacts {
		keys = slices.Values(slices.Sorted(keys)[:maxFacts])
	}
	for k := range keys {
		b.Meta[Cut(k, maxKey)] = Cut(e.Meta[k], maxFact)
	}
	if e.NotStarted {
		b.Meta[MetaStarted] = "no"
	}
	return &b
}

func boundedFields(fields []Field) []Field {
	var out []Field
	size := 0
	for i, f := range fields {
		f.Path, f.Description = Cut(f.Path, maxField), Cut(f.Description, maxField)
		size += len(f.Path) + len(f.Description)
		if i == maxFields || size > maxAll {
			return append(out, Field{Path: "...", Description: fmt.Sprintf("and %d more", len(fields)-i)})
		}
		out = append(out, f)
	}
	return out
}

// Cut returns s, or as much of its beginning as fits into n bytes with an
// ellipsis, without splitting a character.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const ellipsis = "…"
	end := max(n-len(ellipsis), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
