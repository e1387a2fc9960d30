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
	Force bool   `help:"Replace a catalog that is not empty. What it has and the backup does not is gone."`
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
	return []string{"ruedo db restore main.tar.zst", "ruedo db restore main.tar.zst --force"}
}

// Run restores the backup.
func (c *Restore) Run(s *session.Session) error {
	f, err := os.Open(c.File)
	if err != nil {
		return session.FileError(err, "cannot read", c.File)
	}
	defer f.Close()
	header, summary, err := verify(f)
	if err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	if err := c.refuse(s, core); err != nil {
		return err
	}
	catalog, err := c.prepare(s, core, f, header)
	if err != nil {
		return err
	}
	s.Infof("replacing the catalog: %s", contents(summary))
	res, err := send(s.Ctx, core, catalog, c.Force)
	if err != nil {
		return err
	}
	if done, err := s.PrintMessage(res, c.File); done {
		return err
	}
	return s.Printf("restored %s with %s, %s", text.Count(int(res.GetServices()), "service"), text.Count(int(res.GetRevisions()), "revision"), text.Count(int(res.GetDecorators()), "decorator"))
}

// refuse refuses a cluster that is not empty before anything is sent. The core
// checks it again.
func (c *Restore) refuse(s *session.Session, core *client.Client) error {
	if c.Force {
		return nil
	}
	list, err := core.Services.ListServices(s.Ctx, &ruedov1.ListServicesRequest{PageSize: 1})
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

// prepare uploads the modules of a backup, and returns the rest of it.
func (c *Restore) prepare(s *session.Session, core *client.Client, f io.ReadSeeker, h archive.Header) ([]byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, session.FileError(err, "cannot read", c.File)
	}
	in, err := archive.NewReader(f, archive.Limits{})
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var catalog bytes.Buffer
	out, err := archive.NewWriter(&catalog, h)
	if err != nil {
		return nil, err
	}
	for {
		e, err := in.Next()
		if errors.Is(err, io.EOF) {
			_, err := out.Close()
			return catalog.Bytes(), err
		}
		if err != nil {
			return nil, err
		}
		if _, ok := e.Module(); !ok {
			if err := out.Add(e); err != nil {
				return nil, err
			}
			continue
		}
		step, done := s.Progress("sending")
		_, err = core.Upload(s.Ctx, e.Value, step)
		done()
		if err != nil {
			return nil, err
		}
	}
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
