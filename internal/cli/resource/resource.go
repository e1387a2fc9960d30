// Package resource is the nouns of the command line, one file each: what a
// cluster has, how it is listed and shown, and what can be done with it.
//
// [All] lists them. `ruedo get`, `describe`, `create`, `apply`, `delete`, their
// help and the completion of names are made of that list by package verb, so a
// new noun is a new file and a line in All.
package resource

import (
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// All returns the nouns in the order of help.
func All() []*verb.Noun {
	return []*verb.Noun{services(), decorators(), runners(), revisions(), cores(), status()}
}

// nothing is the arguments of a command that has none.
type nothing struct{}

// nameOrTag is the arguments of lists that can be narrowed to one name or to a
// tag.
type nameOrTag struct {
	Name string `arg:"" optional:"" complete:"${noun}" help:"List only this one."`
	Tag  string `placeholder:"TAG" help:"List only those with this tag."`
}

// only returns the item with a name, or all if the name is empty. The error has
// the reason missing.
func only[T any](items []T, name string, nameOf func(T) string, missing fault.Reason, noun string) ([]T, error) {
	if name == "" {
		return items, nil
	}
	var known []string
	for _, item := range items {
		if nameOf(item) == name {
			return []T{item}, nil
		}
		known = append(known, nameOf(item))
	}
	e := fault.New(missing, "there is no %s %q", noun, name).WithFix("ruedo get %ss", noun)
	if hint := suggest.DidYouMean(name, known); hint != "" {
		e.Message += ", " + hint
	}
	return nil, e
}
