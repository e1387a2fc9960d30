package db

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/archive"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// part is how much of a catalog is sent in one message.
const part = 512 << 10

// Restore is `ruedo db restore`.
type Restore struct {
	File  string `arg:"" placeholder:"FILE" help:"A backup."`
	Check bool   `help:"Print what would become of each service and decorator, and change nothing."`
	Force bool   `help:"Replace a catalog that is not empty. What the backup does not have is lost."`
}

// Help is the part of the help that comes after the first line.
func (*Restore) Help() string {
	return `Checks the whole file first, and sends the modules that the cluster does not have.
Then the catalog is replaced: meanwhile calls continue with the old one, and writes
are refused. If it is interrupted there, cores keep what they have in memory and
say so until the restore is repeated.

The cluster can be another one than the one the backup was made of.`
}

// Examples of the command.
func (*Restore) Examples() []string {
	return []string{"ruedo db restore main.tar.zst", "ruedo db restore main.tar.zst --check", "ruedo db restore main.tar.zst --force"}
}

// Run restores the backup.
func (c *Restore) Run(s *session.Session) error {
	f, err := os.Open(c.File)
	if err != nil {
		return session.FileError(err, "cannot read", c.File)
	}
	defer f.Close()
	if _, _, err := verify(f); err != nil {
		return session.About(err, "file %s", c.File)
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	if c.Check {
		return check(s, core, f, c.Force)
	}
	res, err := restore(s, core, f, c.Force)
	if err != nil {
		return err
	}
	if done, err := s.PrintMessage(res, c.File); done {
		return err
	}
	return s.Printf("restored %s", restored(res))
}

func restored(res *ruedov1.RestoreCatalogResponse) string {
	return text.Count(int(res.GetServices()), "service") + " with " + text.Count(int(res.GetRevisions()), "revision") + ", " + text.Count(int(res.GetDecorators()), "decorator")
}

// check prints what restoring a backup that was verified would change.
func check(s *session.Session, core *client.Client, f io.ReadSeeker, force bool) error {
	now, err := list(s.Ctx, core)
	if err != nil {
		return err
	}
	return checkAgainst(s, now, f, force)
}

// checkAgainst is check for a catalog that is known.
func checkAgainst(s *session.Session, now catalog, f io.ReadSeeker, force bool) error {
	next := catalog{}
	if _, err := rewound(f, next); err != nil {
		return err
	}
	if err := printChanges(s, compare(now, next), true); err != nil {
		return err
	}
	if len(now) > 0 && !force {
		s.Infof("the cluster is not empty: this takes --force")
	}
	return nil
}

// rewound reads a backup from its beginning.
func rewound(f io.ReadSeeker, r reader) (archive.Header, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return archive.Header{}, fault.Wrap(err, fault.Usage, "the backup cannot be read: %s", text.Cause(err))
	}
	return read(f, r)
}

// restore restores a backup that was verified.
func restore(s *session.Session, core *client.Client, f io.ReadSeeker, force bool) (*ruedov1.RestoreCatalogResponse, error) {
	if !force {
		if err := refuse(s.Ctx, core); err != nil {
			return nil, err
		}
	}
	to := &uploader{Session: s, core: core}
	if _, err := rewound(f, to); err != nil {
		return nil, err
	}
	if _, err := to.out.Close(); err != nil {
		return nil, err
	}
	s.Progressf("replacing the catalog")
	return send(s.Ctx, core, to.catalog.Bytes(), force)
}

// refuse refuses a cluster that is not empty before anything is sent. The core
// checks it again.
func refuse(ctx context.Context, core *client.Client) error {
	list, err := core.Services.ListServices(ctx, &ruedov1.ListServicesRequest{PageSize: 1})
	switch {
	case errors.Is(err, fault.StoreRestoring): // a restore that was interrupted
		return nil
	case err != nil:
		return err
	case len(list.GetItems()) > 0:
		return fault.New(fault.StoreNotEmpty, "the cluster has services, such as %s, which the restore would replace", list.GetItems()[0].GetName()).
			WithFix("replace them with --force, after: ruedo db backup FILE")
	}
	return nil
}

// uploader uploads the modules of a backup, and keeps the rest of it.
type uploader struct {
	*session.Session
	core    *client.Client
	catalog bytes.Buffer
	out     *archive.Writer
}

func (u *uploader) begin(h archive.Header) (err error) {
	u.out, err = archive.NewWriter(&u.catalog, h)
	return err
}

func (u *uploader) add(e archive.Entry) error {
	if _, ok := e.Module(); !ok {
		return u.out.Add(e)
	}
	step, done := u.Progress("sending")
	defer done()
	_, err := u.core.Upload(u.Ctx, e.Value, step)
	return err
}

// send has a core replace its catalog.
func send(ctx context.Context, core *client.Client, catalog []byte, force bool) (*ruedov1.RestoreCatalogResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := core.Backups.RestoreCatalog(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&ruedov1.RestoreCatalogRequest{Part: &ruedov1.RestoreCatalogRequest_Head{
		Head: &ruedov1.RestoreHead{Force: force, SizeBytes: uint64(len(catalog))},
	}})
	for rest := bytes.NewBuffer(catalog); err == nil && rest.Len() > 0; {
		err = stream.Send(&ruedov1.RestoreCatalogRequest{Part: &ruedov1.RestoreCatalogRequest_Data{Data: rest.Next(part)}})
	}
	// After io.EOF the core's reason to stop reading is in the response.
	if err != nil && !errors.Is(err, io.EOF) {
		_, _ = stream.CloseAndReceive()
		return nil, err
	}
	return stream.CloseAndReceive()
}
