package limits

import (
	"fmt"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Text returns the limits that l sets, for one line: "memory 32 MiB, timeout 1s".
func Text(l *ruedov1.Limits) string {
	var parts []string
	for _, r := range table {
		if v := r.Get(l); v != 0 {
			parts = append(parts, r.Name+" "+r.format(v))
		}
	}
	return strings.Join(parts, ", ")
}

// Value returns a value of the limit as files have it: the text "64MiB", "1500B"
// "2s" or "none", or a number. [Row.Parse] reads the texts back.
func (r Row) Value(v uint64) any {
	switch {
	case r.None && v == None:
		return none
	case r.Unit == Count:
		return v
	case r.Unit == Size:
		return strings.NewReplacer(" bytes", "B", " byte", "B", " ", "").Replace(r.Unit.Format(v))
	}
	return r.Unit.Format(v)
}

func (r Row) format(v uint64) string {
	switch {
	case v == 0 && r.Unset != "":
		return r.Unset
	case r.None && v == None:
		return none
	}
	return r.Unit.Format(v)
}

// Raise returns the fix for a call that exceeds limits: "raise input in
// decorator small". decorator is the one that sets them; empty means that the
// default applies.
func Raise(decorator string, names ...string) string {
	where := "a decorator of the service"
	if decorator != "" {
		where = "decorator " + decorator
	}
	return "raise " + strings.Join(names, " or ") + " in " + where
}

// Path returns the path of a field as users write it: the path
// "decorator.limits.memory_bytes" of the API is "decorator.limits.memory". Other
// paths stay as they are.
func Path(path string) string {
	where, field, ok := cutLast(path, "limits.")
	if !ok {
		return path
	}
	if r, ok := find(func(r Row) bool { return r.Field() == field }); ok {
		return where + "limits." + r.Name
	}
	return path
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Usage returns which limits there are and how their values are written, for
// help texts.
func Usage() string {
	var parts []string
	for _, u := range []Unit{Size, Duration, Count} {
		var names []string
		for _, r := range table {
			if r.Unit == u {
				names = append(names, r.Name)
			}
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", strings.Join(names, ", "), u.Expected()))
	}
	return strings.Join(parts, "; ")
}

// DefaultText returns what holds if no decorator sets the limit, for documents.
func (r Row) DefaultText() string {
	text := r.format(r.Default)
	switch {
	case r.Follows != "":
		text = "as `" + r.Follows + "`"
		if r.HTTP != 0 {
			text += "; kind http: at most " + r.format(r.HTTP)
		}
	case r.HTTP != 0:
		text += "; kind http: " + r.format(r.HTTP)
	case r.Only == ruedov1.Kind_KIND_HTTP:
		text = "kind http: " + text
	}
	return text
}
