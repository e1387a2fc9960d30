package verb

import (
	"errors"
	"path/filepath"
	"slices"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Apply is `ruedo apply` of the documents of one noun.
type Apply struct {
	// Kind is the kind that the document states: "Service".
	Kind string
	// Do makes the resource what the document says. base is the directory that
	// paths in it are relative to. result is "created", "updated" or "unchanged".
	Do func(s *session.Session, core *client.Client, doc yamlfile.Document, base string) (name, result string, err error)
}

type applyCommand struct {
	File []string `short:"f" required:"" placeholder:"FILE" sep:"none" help:"YAML file to apply; - is stdin. May be repeated."`

	nouns []*Noun
}

// Help is the part of the help that comes after the first line.
func (*applyCommand) Help() string {
	return `A file holds YAML documents, separated by ---. Each states its kind and name.
They are applied in their order; if one fails, those before it stay applied.`
}

func (*applyCommand) Examples() []string {
	return []string{"ruedo apply -f cluster.yaml", "cat cluster.yaml | ruedo apply -f -"}
}

// applied is one line of the output.
type applied struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Result string `json:"result"`
}

func (c *applyCommand) Run(s *session.Session) error {
	type step struct {
		noun *Noun
		doc  yamlfile.Document
		base string
	}
	var steps []step
	for _, file := range c.File {
		data, err := s.ReadInput(file)
		if err != nil {
			return err
		}
		docs, err := yamlfile.All(file, data)
		if err != nil {
			return err
		}
		for _, doc := range docs {
			noun, err := c.noun(doc)
			if err != nil {
				return err
			}
			steps = append(steps, step{noun, doc, filepath.Dir(file)})
		}
	}
	if len(steps) == 0 {
		return fault.New(fault.ConfigInvalid, "there is nothing in %s to apply", c.File[0])
	}
	core, err := s.ConnectToCreate()
	if err != nil {
		return err
	}
	list := []applied{}
	for _, st := range steps {
		name, result, err := st.noun.Apply.Do(s, core, st.doc, st.base)
		if err != nil {
			// The documents before it stay applied, so they are printed.
			return errors.Join(err, printApplied(s, list))
		}
		if s.Print.ForPeople() {
			if err := s.Printf("%s %s %s", st.noun.Name, name, result); err != nil {
				return err
			}
		}
		list = append(list, applied{st.noun.Name, name, result})
	}
	return printApplied(s, list)
}

// noun returns the noun of a document.
func (c *applyCommand) noun(doc yamlfile.Document) (*Noun, error) {
	var kinds []string
	for _, n := range c.nouns {
		if n.Apply == nil {
			continue
		}
		if n.Apply.Kind == doc.Field("kind") {
			return n, nil
		}
		kinds = append(kinds, n.Apply.Kind)
	}
	slices.Sort(kinds)
	return nil, doc.Errorf("kind is %q: %s is expected", doc.Field("kind"), oneOf("", kinds))
}

// printApplied prints the results for programs.
func printApplied(s *session.Session, list []applied) error {
	switch {
	case s.Print.ForPeople():
		return nil
	case s.Print.Format == output.Name:
		for _, item := range list {
			if err := s.Printf("%s/%s", item.Kind, item.Name); err != nil {
				return err
			}
		}
		return nil
	}
	return s.Print.Value(map[string]any{"items": list})
}
