package verb

import (
	"errors"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/delta"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Apply is `ruedo apply` and `ruedo diff` of the documents of one noun.
type Apply struct {
	// Kind is the kind that the document states: "Service".
	Kind string
	// Document is a struct that a document is decoded into. Its tags describe the
	// fields: yaml, help, default, enum, required, type.
	Document any
	// About says what is special about the documents, and Example is one.
	About, Example string
	// Plan reads a document and what is stored, and writes nothing. base is the
	// directory that paths in the document are relative to.
	Plan func(s *session.Session, core *client.Client, doc yamlfile.Document, base string) (*Plan, error)
}

// Plan is what applying a document would do.
type Plan struct {
	// Noun and Name of the resource.
	Noun, Name string
	// New is true if there is no such resource yet.
	New bool
	// Changes are the fields that differ from what is stored. What the document
	// leaves out is removed: the document is the whole.
	Changes []delta.Change
	// With are resources that come along, for example decorators that are
	// defined next to a service. Do writes them too.
	With []*Plan
	// Message is the resource that the document defines, for the plans of other
	// documents. May be nil.
	Message proto.Message
	// Examine finds what is wrong with the document itself, before anything is
	// written; nil if reading it has found everything. ahead are the plans of the
	// documents before it.
	Examine func(ahead []*Plan) error
	// Check finds out whether Do would be refused, as far as that can be known
	// without writing. force is as in Do.
	Check func(force bool) error
	// Do makes the resource what the document says. force overrides checks of
	// what the change would break. unchanged is true if it was so already.
	Do func(force bool) (unchanged bool, err error)
}

// result is "created", "updated" or "unchanged".
func (p *Plan) result() string {
	switch {
	case p.New:
		return "created"
	case len(p.Changes) == 0:
		return "unchanged"
	}
	return "updated"
}

// files is which documents to read.
type files struct {
	File []string `short:"f" required:"" placeholder:"FILE" sep:"none" help:"YAML file to ${filed}; - is stdin. May be repeated."`

	nouns []*Noun
}

// documents reads the files.
func (f *files) documents(s *session.Session) ([]Document, error) {
	var docs []Document
	for _, file := range f.File {
		data, err := s.ReadInput(file)
		if err != nil {
			return nil, err
		}
		more, err := Documents(f.nouns, file, data, filepath.Dir(file))
		if err != nil {
			return nil, err
		}
		docs = append(docs, more...)
	}
	if len(docs) == 0 {
		return nil, fault.New(fault.ConfigInvalid, "%s has no documents", f.File[0])
	}
	return docs, nil
}

type applyCommand struct {
	files  `embed:"" set:"filed=apply"`
	DryRun bool `help:"Check everything and print what would change, but change nothing."`
	Force  bool `help:"Change decorators even if services that carry them could not run."`
}

// Help is the part of the help that comes after the first line.
func (*applyCommand) Help() string {
	return `A file holds YAML or JSON documents, separated by ---, or a list of them. Each
states its kind and name.
All are read and checked before the first is written; services are built and
tried. Then they are written in their order; if the core refuses one, those
before it stay applied.

A document is the whole resource: what it leaves out is removed. The fields that
change are printed (+ new, - removed, ~ changed).

A decorator holds for all services that carry it. Before it changes, the runners
prepare these services with the change; if one of them could not run, nothing
changes and the services are named.`
}

func (*applyCommand) Examples() []string {
	return []string{"ruedo apply -f cluster.yaml", "ruedo apply -f cluster.yaml --dry-run", "cat cluster.yaml | ruedo apply -f -"}
}

func (c *applyCommand) Run(s *session.Session) error {
	docs, err := c.documents(s)
	if err != nil {
		return err
	}
	connect := s.ConnectToCreate
	if c.DryRun {
		connect = s.Connect
	}
	core, err := connect()
	if err != nil {
		return err
	}
	plans, err := Plans(s, core, docs)
	if err != nil {
		return err
	}
	list := []report{}
	for _, p := range plans {
		r, err := c.apply(p)
		if err != nil {
			// The documents before it stay applied, so they are printed.
			return errors.Join(err, printReports(s, list))
		}
		if s.Print.ForPeople() {
			if err := r.print(s, "", ""); err != nil {
				return err
			}
		}
		list = append(list, r)
	}
	return printReports(s, list)
}

// apply applies one document, or checks it.
func (c *applyCommand) apply(p *Plan) (report, error) {
	if c.DryRun {
		if err := p.Check(c.Force); err != nil {
			return report{}, err
		}
		return reportOf(p, true), nil
	}
	unchanged, err := p.Do(c.Force)
	if err != nil {
		return report{}, err
	}
	r := reportOf(p, false)
	if unchanged {
		r.Result, r.Changes = "unchanged", nil
	} else if r.Result == "unchanged" {
		r.Result = "updated"
	}
	return r, nil
}

type diffCommand struct {
	files `embed:"" set:"filed=compare"`
}

// Help is the part of the help that comes after the first line.
func (*diffCommand) Help() string {
	return `Prints the fields that ruedo apply would change: + new, - removed, ~ changed.
Exits with 0 if there are none and with 1 if there are some, as diff does.
Nothing is written, and no runner is asked: for that, use ruedo apply --dry-run.`
}

func (*diffCommand) Examples() []string {
	return []string{"ruedo diff -f cluster.yaml", "ruedo diff -f cluster.yaml -o json"}
}

func (c *diffCommand) Run(s *session.Session) error {
	docs, err := c.documents(s)
	if err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	list := []report{}
	differ := false
	for _, doc := range docs {
		p, err := doc.plan(s, core)
		if err != nil {
			return err
		}
		r := reportOf(p, true)
		if !r.same() {
			differ = true
			if s.Print.ForPeople() {
				if err := r.print(s, "", "differs"); err != nil {
					return err
				}
			}
		}
		list = append(list, r)
	}
	if err := printReports(s, list); err != nil {
		return err
	}
	if differ {
		return session.Differ
	}
	return nil
}

// report is the result of one document.
type report struct {
	Kind    string         `json:"kind"`
	Name    string         `json:"name"`
	Result  string         `json:"result"`
	DryRun  bool           `json:"dry_run,omitempty"`
	Changes []delta.Change `json:"changes,omitempty"`
	With    []report       `json:"with,omitempty"`
}

func reportOf(p *Plan, dry bool) report {
	r := report{Kind: p.Noun, Name: p.Name, Result: p.result(), DryRun: dry, Changes: p.Changes}
	for _, with := range p.With {
		r.With = append(r.With, reportOf(with, dry))
	}
	return r
}

// same reports whether nothing changes.
func (r *report) same() bool {
	return r.Result == "unchanged" && !slices.ContainsFunc(r.With, func(w report) bool { return !w.same() })
}

// maxChanges bounds the changes of one resource that are printed.
const maxChanges = 100

// print prints a report. verdict replaces the result, except for a new resource.
func (r *report) print(s *session.Session, indent, verdict string) error {
	result := r.Result
	switch {
	case verdict != "" && result == "created":
		result = "is new"
	case verdict != "" && result != "unchanged":
		result = verdict
	case verdict == "" && r.DryRun:
		result += " (dry run)"
	}
	if err := s.Printf("%s%s %s %s", indent, r.Kind, r.Name, result); err != nil {
		return err
	}
	if r.Result == "updated" {
		for _, c := range r.Changes[:min(len(r.Changes), maxChanges)] {
			if err := s.Printf("%s  %s", indent, c); err != nil {
				return err
			}
		}
		if more := len(r.Changes) - maxChanges; more > 0 {
			if err := s.Printf("%s  and %s", indent, text.Count(more, "more change")); err != nil {
				return err
			}
		}
	}
	for _, w := range r.With {
		if w.same() {
			continue
		}
		if err := w.print(s, indent+"  ", verdict); err != nil {
			return err
		}
	}
	return nil
}

// printReports prints the reports for programs.
func printReports(s *session.Session, list []report) error {
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
