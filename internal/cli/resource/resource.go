// Package resource is the nouns of the command line: what a cluster has, and
// what can be done with it.
//
// A noun is one file, which returns a [Resource]: its names and one value per
// verb that it has ([List], [Single], [Details], [Create], [Delete], [Apply]).
// [All] lists the nouns. `ruedo get`, `describe`, `create`, `delete`, `apply`,
// their help and the completion of names are made of that list, so a new noun is
// a new file and a line in All.
//
// The functions of a noun ask the core and return messages of the API; the verbs
// print them.
package resource

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// Resource is one noun.
type Resource struct {
	// Name is the noun in the singular: "service". A hyphen joins two words.
	Name string
	// Plural is the name of the noun in `ruedo get`, Aliases are further ones.
	Plural  string
	Aliases []string

	// Get, Describe, Create and Delete are what those commands do with the noun.
	// Nil: they do not know it.
	Get, Describe, Create, Delete Verb
	// Apply reads its YAML documents. Nil: there are none.
	Apply *Apply
}

// All returns the nouns in the order of help.
func All() []*Resource {
	return []*Resource{services(), decorators(), runners(), revisions(), cores(), status()}
}

// Names returns the names of the resources of one noun, for completion.
func Names(s *session.Session, nouns []*Resource, noun string) ([]string, error) {
	i := slices.IndexFunc(nouns, func(r *Resource) bool { return r.Name == noun })
	if i < 0 {
		return nil, fmt.Errorf("there is no noun %q", noun)
	}
	l, ok := nouns[i].Get.(interface {
		names(*session.Session) ([]string, error)
	})
	if !ok {
		return nil, fmt.Errorf("%s cannot be listed", noun)
	}
	return l.names(s)
}

// The verbs of a noun.
func get(r *Resource) Verb        { return r.Get }
func describe(r *Resource) Verb   { return r.Describe }
func create(r *Resource) Verb     { return r.Create }
func deletion(r *Resource) Verb   { return r.Delete }
func plural(r *Resource) string   { return r.Plural }
func singular(r *Resource) string { return r.Name }

// oneOf writes "service, decorator or runner": the nouns that have a verb.
func oneOf(nouns []*Resource, verb func(*Resource) Verb, article string) string {
	var names []string
	for _, r := range nouns {
		if verb(r) != nil {
			names = append(names, article+r.Name)
		}
	}
	return join(names, "or")
}

// join writes "a, b or c".
func join(words []string, last string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " " + last + " " + words[n-1]
	}
	return strings.Join(words, "")
}
