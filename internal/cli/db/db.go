// Package db holds the commands about the catalog as a whole: backup, restore,
// verify, export, import, migrate.
package db

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/archive"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/internal/wholefile"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Commands is `ruedo db`.
type Commands struct {
	Backup  Backup  `cmd:"" help:"Write a copy of the catalog with its modules to a file."`
	Restore Restore `cmd:"" help:"Replace the catalog with that of a backup."`
	Verify  Verify  `cmd:"" help:"Check a backup without a core."`
	Export  Export  `cmd:"" help:"Write what is live as documents and modules."`
	Import  Import  `cmd:"" help:"Create or update what an export holds."`
	Migrate Migrate `cmd:"" help:"Copy the catalog to another store."`
}

// Backup is `ruedo db backup`.
type Backup struct {
	File  string `arg:"" placeholder:"FILE" help:"File to write, for example main.tar.zst."`
	Force bool   `help:"Replace the file if it exists."`
}

// Help is the part of the help that comes after the first line.
func (*Backup) Help() string {
	return `Copies services, all their revisions, decorators and modules as they are at one
moment; others can publish meanwhile. The file is a tar, compressed with Zstandard.
It is read again and checked before it gets its name, so a file that has the name is
complete. It holds what environments hold: only its owner can read it.`
}

// Examples of the command.
func (*Backup) Examples() []string { return []string{"ruedo db backup main.tar.zst"} }

// Run writes the backup.
func (c *Backup) Run(s *session.Session) error {
	switch st, err := os.Stat(c.File); {
	case c.File == "-":
		return fault.New(fault.Usage, "a backup cannot be written to stdout, because it is read back and checked").WithFix("ruedo db backup main.tar.zst, and copy that file")
	case err != nil: // creating it says why
	case st.IsDir():
		return fault.New(fault.Usage, "%s is a directory", c.File).WithFix("name a file in it: ruedo db backup %s", filepath.Join(c.File, "main.tar.zst"))
	case !c.Force:
		return fault.New(fault.Usage, "%s exists", c.File).WithFix("choose another name, or replace it with --force")
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	step, done := s.Progress("receiving")
	defer done()
	header, summary, err := write(s.Ctx, core, c.File, step)
	done()
	if err != nil {
		return err
	}
	return report(s, "wrote", c.File, header, summary)
}

// write writes a backup of the catalog, checks it, and gives it its path.
func write(ctx context.Context, core *client.Client, path string, step func(n, total int64)) (header archive.Header, summary archive.Summary, err error) {
	f, err := wholefile.Create(path)
	if err != nil {
		return header, summary, session.FileError(err, "cannot write", path)
	}
	defer f.Discard()
	if err := receive(ctx, core, &ruedov1.ReadBackupRequest{}, f, step); err != nil {
		return header, summary, unwritten(err, path)
	}
	if header, summary, err = verify(f); err != nil {
		return header, summary, err
	}
	if err := f.Keep(); err != nil {
		return header, summary, session.FileError(err, "cannot write", path)
	}
	return header, summary, nil
}

// unwritten names the file if that is why it was not written.
func unwritten(err error, path string) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return session.FileError(err, "cannot write", path)
	}
	return err
}

// receive writes what a core sends.
func receive(ctx context.Context, core *client.Client, req *ruedov1.ReadBackupRequest, w io.Writer, step func(n, total int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := core.Backups.ReadBackup(ctx, req)
	if err != nil {
		return err
	}
	defer stream.Close()
	n := int64(0)
	for stream.Receive() {
		data := stream.Msg().GetData()
		if _, err := w.Write(data); err != nil {
			return err
		}
		n += int64(len(data))
		step(n, -1)
	}
	return stream.Err()
}

// verify reads a backup from its beginning and checks it.
func verify(f io.ReadSeeker) (archive.Header, archive.Summary, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return archive.Header{}, archive.Summary{}, err
	}
	return archive.Verify(f, archive.Limits{})
}

// Verify is `ruedo db verify`.
type Verify struct {
	File string `arg:"" placeholder:"FILE" help:"A backup."`
}

// Help is the part of the help that comes after the first line.
func (*Verify) Help() string {
	return `Reads all of the file: it must be as it was written, every value must be readable,
and every revision must have its module.`
}

// Examples of the command.
func (*Verify) Examples() []string { return []string{"ruedo db verify main.tar.zst"} }

// Run checks the backup.
func (c *Verify) Run(s *session.Session) error {
	f, err := os.Open(c.File)
	if err != nil {
		return session.FileError(err, "cannot read", c.File)
	}
	defer f.Close()
	header, summary, err := verify(f)
	if err != nil {
		return session.About(err, "file %s", c.File)
	}
	return report(s, "verified", c.File, header, summary)
}

// report prints what is in a backup.
func report(s *session.Session, did, path string, h archive.Header, sum archive.Summary) error {
	if !s.Print.ForPeople() {
		return s.Print.Value(map[string]any{"file": path, "header": h, "summary": sum})
	}
	return s.Printf("%s %s: %s, cluster %s as of %s", did, path, contents(sum), output.Safe(h.Cluster), h.Time.Local().Format("2006-01-02 15:04:05"))
}

// contents says how much is in a backup.
func contents(s archive.Summary) string {
	return text.Count(s.Services, "service") + " with " + text.Count(s.Revisions, "revision") + ", " +
		text.Count(s.Decorators, "decorator") + ", " + text.Count(s.Modules, "module") + ", " + output.Size(uint64(s.Bytes))
}
