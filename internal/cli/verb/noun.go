// Package verb is the commands that are the same for every noun of the command
// line: get, describe, create, apply, diff and delete.
//
// A [Noun] is a value: its names, and for each verb that it has a value of this
// package ([Get], [GetOne], [Describe], [Create], [Delete], [Apply]), whose
// functions ask the core and return messages of the API. The verbs parse the
// command line and print. [Grammar] makes the commands of a list of nouns, and
// [Names] answers completion from the same list.
package verb

import (
	"fmt"
	"slices"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// Noun is one kind of thing that a cluster has.
type Noun struct {
	// Name is the noun in the singular: "service".
	Name string
	// Plural is its name in `ruedo get`. Every command knows Name, Plural and
	// Aliases.
	Plural  string
	Aliases []string

	// Get, Describe, Create and Delete are what those commands do with the noun.
	// Nil: the command does not know it.
	Get, Describe, Create, Delete Command
	// Apply reads its YAML documents. Nil: there are none.
	Apply *Apply
}

// Names returns the names of the resources of one noun, for completion.
func Names(s *session.Session, nouns []*Noun, noun string) ([]string, error) {
	i := slices.IndexFunc(nouns, func(n *Noun) bool { return n.Name == noun })
	if i < 0 {
		return nil, fmt.Errorf("there is no noun %q", noun)
	}
	list, ok := nouns[i].Get.(interface {
		names(*session.Session) ([]string, error)
	})
	if !ok {
		return nil, fmt.Errorf("%s cannot be listed", noun)
	}
	return list.names(s)
}
