// Package resource is the nouns of the command line, one file each: what a
// cluster has, how it is listed and shown, and what can be done with it.
//
// [All] lists them. `ruedo get`, `describe`, `create`, `apply`, `delete`, their
// help and the completion of names are made of that list by package verb, so a
// new noun is a new file and a line in All.
package resource

import (
	"slices"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/use"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// All returns the nouns in the order of help.
func All() []*verb.Noun {
	return []*verb.Noun{services(), decorators(), runners(), revisions(), cores(), leader(), jobs(), members(), status(), use.Noun()}
}

// nothing is the arguments of a command that has none.
type nothing struct{}

// namesOrTag is the arguments of lists that can be narrowed to names or to a
// tag.
type namesOrTag struct {
	Names []string `arg:"" name:"name" optional:"" complete:"${noun}" help:"List only this one. May be repeated."`
	Tag   string   `placeholder:"TAG" help:"List only those with this tag."`
}

// Single reports whether one resource is asked for by its name.
func (a namesOrTag) Single() bool { return len(a.Names) == 1 }

// only returns the items with the names, in the order of the names, or all if
// there are no names. The errors of names that nothing has have the reason
// missing.
func only[T any](items []T, names []string, nameOf func(T) string, missing fault.Reason, noun string) ([]T, error) {
	if len(names) == 0 {
		return items, nil
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
