package db

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/bundle"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/resource"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Import is `ruedo db import`.
type Import struct {
	From     string `arg:"" name:"path" placeholder:"PATH" help:"Directory, tar, or file of documents, as ruedo db export writes them."`
	Validate bool   `xor:"what" help:"Import it into an empty cluster in this process, which is thrown away. No other cluster is asked."`
	Check    bool   `xor:"what" help:"Print what would become of each resource, and change nothing."`
	Force    bool   `help:"Replace what the cluster has under the same names, also decorators that services in it could not run with."`
}

// Help is the part of the help that comes after the first line.
func (*Import) Help() string {
	return `Reads the documents of ruedo db export, or those that you wrote for ruedo apply: of
a directory those in it and in its directories decorators and services. Modules
that documents name by digest come from its directory modules; without it, the
cluster must have them.

Each resource is one of these:
  add          the cluster does not have it
  unchanged    the cluster has it as it is
  conflict     the cluster has another one of this name
  replacement  the same, with --force
If there are conflicts, nothing is imported. What the cluster has besides stays.

Everything is read and checked first, and the modules are sent. Then decorators and
services are written one after the other, each as a whole. If that is interrupted,
those before stay, and are named; import it again, and they are unchanged.

--validate finds everything that is wrong with the documents and modules
themselves: all of it has to be there, also decorators that the cluster has.`
}

// Examples of the command.
func (*Import) Examples() []string {
	return []string{"ruedo db import site --check", "ruedo db import site", "ruedo db import site.tar.zst --force", "ruedo db import site --validate"}
}

// Run imports it.
func (c *Import) Run(s *session.Session) error {
	b, err := bundle.Open(c.From, bundle.Limits{Module: s.Settings.Module.Limits().Size})
	if err != nil {
		return err
	}
	defer b.Close()
	docs, err := documents(b)
	if err != nil {
		return err
	}
	i := &importer{Session: s, bundle: b, docs: docs, force: c.Force}
	if err := i.admit(); err != nil {
		return err
	}
	switch {
	case c.Validate:
		i.core, err = s.ConnectToEmpty()
	case c.Check:
		i.core, err = s.Connect()
	default:
		i.core, err = s.ConnectToCreate()
	}
	if err != nil {
		return err
	}
	if err := i.plan(); err != nil {
		return err
	}
	if c.Check {
		return errors.Join(printChanges(s, i.changes, true), i.check())
	}
	if err := i.conflicts(); err != nil {
		return err
	}
	err = i.run()
	switch {
	case err != nil && c.Validate:
		return err
	case err != nil:
		// Those before stay, so they are printed.
		i.interrupted()
		return errors.Join(err, printChanges(s, i.changes[:i.done], false))
	case c.Validate && s.Print.ForPeople():
		return s.Printf("%s is valid: %s", c.From, text.Count(len(i.changes), "resource"))
	}
	return printChanges(s, i.changes, false)
}

// documents reads all documents, decorators first: services carry them.
func documents(b *bundle.Bundle) ([]verb.Document, error) {
	var docs []verb.Document
	seen := map[string]string{}
	for _, file := range b.Documents {
		data, err := b.Read(file)
		if err != nil {
			return nil, err
		}
		list, err := verb.Documents(resource.All(), b.Name(file), data, filepath.Dir(file))
		if err != nil {
			return nil, err
		}
		for _, doc := range list {
			if name := doc.Field("name"); name != "" {
				id := doc.Noun.Name + " " + name
				if at, twice := seen[id]; twice {
					return nil, doc.Errorf("%s is described twice, first at %s", output.Safe(id), at)
				}
				seen[id] = fmt.Sprintf("%s:%d", b.Name(file), doc.Line())
			}
			docs = append(docs, doc)
		}
	}
	slices.SortStableFunc(docs, func(a, b verb.Document) int { return strings.Compare(a.Noun.Name, b.Noun.Name) }) // decorator, service
	return docs, nil
}

// importer imports documents into one cluster.
type importer struct {
	*session.Session
	bundle *bundle.Bundle
	docs   []verb.Document
	force  bool
	core   *client.Client

	plans   []*verb.Plan
	changes []change // of the plans
	done    int      // how many of them are in the cluster
}

// digests returns the modules of the bundle that documents name, each with a
// document that does.
func (i *importer) digests() map[string]verb.Document {
	named := map[string]verb.Document{}
	for _, doc := range i.docs {
		if digest := doc.Field("module"); digest != "" && i.bundle.Has(digest) {
			named[digest] = doc
		}
	}
	return named
}

// admit reads the modules and checks their structure, as cores do.
func (i *importer) admit() error {
	for _, digest := range slices.Sorted(maps.Keys(i.digests())) {
		wasm, err := i.bundle.Module(digest)
		if err != nil {
			return err
		}
		if _, err := source.Admit(i.Session, wasm); err != nil {
			return session.About(err, "module %s", digest)
		}
	}
	return nil
}

// plan finds out what becomes of each document.
func (i *importer) plan() (err error) {
	if i.plans, err = verb.Plans(i.Session, i.core, i.docs); err != nil {
		return err
	}
	for _, p := range i.plans {
		i.changes = append(i.changes, i.of(p))
	}
	return nil
}

// of returns what becomes of a resource. Decorators that come along with a service
// are part of it.
func (i *importer) of(p *verb.Plan) change {
	c := change{Kind: p.Noun, Name: p.Name, Result: unchanged, Changes: p.Changes}
	for _, with := range p.With {
		for _, field := range with.Changes {
			field.Path = with.Noun + " " + with.Name + ": " + field.Path
			c.Changes = append(c.Changes, field)
		}
	}
	// A new decorator of a service that is there is no conflict, but a change.
	other := !p.New && len(p.Changes) > 0 || slices.ContainsFunc(p.With, func(w *verb.Plan) bool { return !w.New && len(w.Changes) > 0 })
	switch {
	case other && i.force:
		c.Result = replacement
	case other:
		c.Result = conflict
	case p.New || len(c.Changes) > 0:
		c.Result = added
	}
	return c
}

// check finds out whether the import would be refused, and writes nothing.
func (i *importer) check() error {
	for n, p := range i.plans {
		if i.changes[n].Result == unchanged {
			continue
		}
		err := p.Check(i.force)
		digest := i.docs[n].Field("module")
		switch {
		case errors.Is(err, fault.ModuleNotFound) && i.bundle.Has(digest): // it will be sent
		case errors.Is(err, fault.ModuleNotFound):
			return fault.Wrap(err, fault.ModuleNotFound, "module %s of %s %s is neither in the import nor in the cluster", digest, p.Noun, p.Name).
				WithFix("export to a directory or to a .tar, which have the modules")
		case err != nil:
			return err
		}
	}
	return nil
}

// conflicts returns an error that names each conflict.
func (i *importer) conflicts() error {
	var names []string
	for _, c := range i.changes {
		if c.Result == conflict {
			names = append(names, c.Kind+" "+c.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fault.New(fault.Conflict, "the cluster has other resources of the same names, and nothing was imported: %s", strings.Join(names, ", ")).
		WithFix("see how they differ with --check, or replace them with --force")
}

// run sends the modules, and writes what is not there yet.
func (i *importer) run() error {
	for _, digest := range slices.Sorted(maps.Keys(i.digests())) {
		wasm, err := i.bundle.Module(digest)
		if err != nil {
			return err
		}
		step, done := i.Progress("sending")
		_, err = i.core.Upload(i.Ctx, wasm, step)
		done()
		if err != nil {
			return session.About(err, "module %s", digest)
		}
	}
	if err := i.check(); err != nil {
		return err
	}
	for n, p := range i.plans {
		if i.changes[n].Result != unchanged {
			if _, err := p.Do(i.force); err != nil {
				return err
			}
		}
		i.done++
	}
	return nil
}

// interrupted says what is in the cluster although the import has failed.
func (i *importer) interrupted() {
	written := 0
	for _, c := range i.changes[:i.done] {
		if c.Result != unchanged {
			written++
		}
	}
	if written == 0 {
		i.Infof("nothing was imported")
		return
	}
	i.Infof("%d of %s imported before it failed; import it again when the cause is mended: they are unchanged then", written, text.Count(len(i.changes), "resource"))
}
