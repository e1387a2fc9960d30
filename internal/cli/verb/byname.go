package verb

import (
	"iter"
	"slices"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// ByName is the arguments of lists that can be narrowed to names.
type ByName struct {
	Names []string `arg:"" name:"name" optional:"" complete:"${noun}" help:"List only this one. May be repeated."`
}

// Single reports whether one resource is asked for by its name.
func (a ByName) Single() bool { return len(a.Names) == 1 }

// Only returns the items of a list that have the names, in the order of the names,
// or all of them if there are no names. The errors of names that nothing has have
// the reason missing.
func Only[T any](list iter.Seq2[T, error], names []string, nameOf func(T) string, missing fault.Reason, noun string) ([]T, error) {
	items, err := client.All(list)
	if err != nil || len(names) == 0 {
		return items, err
	}
	known := make([]string, len(items))
	for i, item := range items {
		known[i] = nameOf(item)
	}
	var found []T
	var failed []error
	for _, name := range names {
		if i := slices.Index(known, name); i >= 0 {
			found = append(found, items[i])
			continue
		}
		e := fault.New(missing, "there is no %s %q", noun, name).WithFix("ruedo get %ss", noun)
		if hint := suggest.DidYouMean(name, known); hint != "" {
			e.Message += ", " + hint
		}
		failed = append(failed, e)
	}
	return found, session.Failures(failed)
}
