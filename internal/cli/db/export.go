package db

import (
	"context"
	"errors"
	"io"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/archive"
	"github.com/ruedo-dev/ruedo/internal/cli/bundle"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Export is `ruedo db export`.
type Export struct {
	To     string `arg:"" name:"path" placeholder:"PATH" help:"Directory, or a file that ends in .tar, .tar.zst, .yaml or .json."`
	Format string `enum:",yaml,json" default:"" placeholder:"FORMAT" help:"Format of the documents: yaml or json. Default: json for a file that ends in .json, else yaml."`
	Force  bool   `help:"Replace the file, or what an export has written to the directory."`
}

// Help is the part of the help that comes after the first line.
func (*Export) Help() string {
	return `Writes what is live, as of one moment, in the words of ruedo apply: one document for
each decorator and service, and the modules by their digests. A directory can be
kept in git; a tar has the same files; a single file of documents has no modules.

Revisions that are not live are left out: ruedo db backup copies them too. The
documents hold the environments of services: only their owner can read them.`
}

// Examples of the command.
func (*Export) Examples() []string {
	return []string{"ruedo db export site", "ruedo db export site --force", "ruedo db export site.tar.zst", "ruedo db export site.yaml"}
}

// Run writes the export.
func (c *Export) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	out := &exporter{path: c.To, opts: bundle.Options{Format: bundle.Format(c.Format), Force: c.Force}}
	defer out.remove()
	step, done := s.Progress("receiving")
	defer done()
	header, err := follow(s.Ctx, core, true, step, out)
	done()
	if err != nil {
		return err
	}
	if err := out.close(); err != nil {
		return err
	}
	if !s.Print.ForPeople() {
		return s.Print.Value(map[string]any{"path": c.To, "cluster": header.Cluster, "services": out.services, "decorators": out.decorators, "modules": out.modules})
	}
	if !out.to.HasModules() && out.modules > 0 {
		s.Infof("the modules are not in it: a cluster that imports it must have them; a directory or a .tar has them too")
		return s.Printf("exported %s and %s to %s", text.Count(out.services, "service"), text.Count(out.decorators, "decorator"), c.To)
	}
	return s.Printf("exported %s, %s and %s to %s", text.Count(out.services, "service"), text.Count(out.decorators, "decorator"), text.Count(out.modules, "module"), c.To)
}

// reader reads a backup as it arrives.
type reader interface {
	begin(archive.Header) error
	add(archive.Entry) error
}

// follow receives a backup, and has r read it. It is complete if follow returns no
// error.
func follow(ctx context.Context, core *client.Client, liveOnly bool, step func(n, total int64), r reader) (header archive.Header, err error) {
	in, out := io.Pipe()
	received := make(chan error, 1)
	go func() {
		err := receive(ctx, core, &ruedov1.ReadBackupRequest{LiveOnly: liveOnly}, out, step)
		_ = out.CloseWithError(err) // never fails
		received <- err
	}()
	header, err = read(in, r)
	_ = in.CloseWithError(err) // never fails
	// If nothing more arrived, r has seen the consequence.
	if failed := <-received; failed != nil && !errors.Is(failed, io.ErrClosedPipe) && (err == nil || !errors.Is(failed, err)) {
		return header, failed
	}
	return header, err
}

func read(in io.Reader, r reader) (archive.Header, error) {
	a, err := archive.NewReader(in, archive.Limits{})
	if err != nil {
		return archive.Header{}, err
	}
	defer a.Close()
	if err := r.begin(a.Header()); err != nil {
		return a.Header(), err
	}
	for {
		e, err := a.Next()
		switch {
		case errors.Is(err, io.EOF):
			return a.Header(), nil
		case err != nil:
			return a.Header(), err
		}
		if err := r.add(e); err != nil {
			return a.Header(), err
		}
	}
}

// exporter writes what it reads as documents and modules.
type exporter struct {
	path string
	opts bundle.Options
	to   *bundle.Writer

	services, decorators, modules int
}

func (x *exporter) begin(h archive.Header) (err error) {
	x.opts.Time = h.Time
	x.to, err = bundle.Create(x.path, x.opts)
	return err
}

func (x *exporter) add(e archive.Entry) error {
	if digest, ok := e.Module(); ok {
		x.modules++
		return x.to.Module(digest, e.Value)
	}
	service, decorator, err := live(e)
	switch {
	case err != nil:
		return err
	case service != nil:
		x.services++
		return x.to.Document(bundle.Services, service.GetName(), project.ServiceDocument(service))
	case decorator != nil:
		x.decorators++
		return x.to.Document(bundle.Decorators, decorator.GetName(), project.DecoratorDocument(decorator))
	}
	return nil // a numbered revision
}

func (x *exporter) close() error { return x.to.Close() }

func (x *exporter) remove() {
	if x.to != nil {
		x.to.Remove()
	}
}
