package verb

import (
	"slices"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Document is a YAML document that describes a resource.
type Document struct {
	yamlfile.Document
	// Noun is what it describes.
	Noun *Noun
	// Base is the directory that paths in it are relative to.
	Base string
}

// Documents reads the documents of a file with these bytes. It fails with
// CONFIG_INVALID, which names file and line.
func Documents(nouns []*Noun, file string, data []byte, base string) ([]Document, error) {
	list, err := yamlfile.All(file, data)
	if err != nil {
		return nil, err
	}
	var docs []Document
	for _, doc := range list {
		noun, err := described(nouns, doc)
		if err != nil {
			return nil, err
		}
		docs = append(docs, Document{doc, noun, base})
	}
	return docs, nil
}

// described returns the noun of a document.
func described(nouns []*Noun, doc yamlfile.Document) (*Noun, error) {
	var kinds []string
	for _, n := range nouns {
		if n.Apply == nil {
			continue
		}
		if n.Apply.Kind == doc.Field("kind") {
			return n, nil
		}
		kinds = append(kinds, n.Apply.Kind)
	}
	slices.Sort(kinds)
	return nil, doc.Errorf("kind is %q: %s is expected", doc.Field("kind"), oneOf(kinds))
}

func (d Document) plan(s *session.Session, core *client.Client) (*Plan, error) {
	return d.Noun.Apply.Plan(s, core, d.Document, d.Base)
}

// Plans reads and examines all documents. It writes nothing.
func Plans(s *session.Session, core *client.Client, docs []Document) ([]*Plan, error) {
	var plans []*Plan
	for _, doc := range docs {
		p, err := doc.plan(s, core)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	for i, p := range plans {
		if p.Examine == nil {
			continue
		}
		if err := p.Examine(plans[:i]); err != nil {
			return nil, err
		}
	}
	return plans, nil
}
