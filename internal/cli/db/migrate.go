package db

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/archive"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Migrate is `ruedo db migrate`.
type Migrate struct {
	To          string   `xor:"to" required:"" placeholder:"HOST" help:"A core on the other store, as host, host:port or URL."`
	ToProfile   string   `xor:"to" required:"" placeholder:"NAME" complete:"profile" help:"The profile of such cores."`
	ToEtcdHosts []string `xor:"to" required:"" placeholder:"HOST:PORT" sep:"none" help:"The other store itself, if no core is on it yet: hosts of an etcd. TLS and login are those of the settings."`
	ToDataDir   string   `xor:"to" required:"" placeholder:"DIR" help:"The same, for a store that a core embeds: its data directory."`
	ToClusterID string   `placeholder:"ID" help:"Cluster id there, with --to-etcd-hosts and --to-data-dir. Default: the same as here."`
	Check       bool     `help:"Print what would become of each service and decorator there, and change nothing."`
	Force       bool     `help:"Replace a catalog there that is not empty. What it has besides is gone."`
}

// Help is the part of the help that comes after the first line.
func (*Migrate) Help() string {
	return `Copies all revisions, decorators and modules, from one kind of store to another or
to another cluster. The copy is read as of one moment, checked, and restored there.
Nothing changes in the store that it comes from: its cores serve on. What is
published there meanwhile is noticed, and copied too; what is published later is
not, so stop publishing until the cores are on the new store.

Cores choose their store when they start. So restart them with the settings of the
new store, one after the other: the others serve meanwhile.

If it is interrupted, the old store is as it was. Repeat it.`
}

// Examples of the command.
func (*Migrate) Examples() []string {
	return []string{
		"ruedo db migrate --to-etcd-hosts etcd-1:2379 --check",
		"ruedo db migrate --to-etcd-hosts etcd-1:2379 --to-etcd-hosts etcd-2:2379",
		"ruedo db migrate --to-data-dir /var/lib/ruedo/store",
		"ruedo db migrate --to-profile new --force",
	}
}

// maxPasses is how often the catalog is copied if it changes meanwhile.
const maxPasses = 5

// Run migrates the catalog.
func (c *Migrate) Run(s *session.Session) error {
	if c.ToClusterID != "" && len(c.ToEtcdHosts) == 0 && c.ToDataDir == "" {
		return fault.New(fault.Usage, "--to-cluster-id is for --to-etcd-hosts and --to-data-dir: a core knows its cluster")
	}
	from, err := s.Connect()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp("", "ruedo-migrate-") // mode 0600
	if err != nil {
		return session.FileError(err, "cannot write", os.TempDir())
	}
	defer os.Remove(f.Name())
	defer f.Close()
	header, summary, err := c.copy(s, from, f)
	if err != nil {
		return err
	}
	to, err := c.target(s, header)
	if err != nil {
		return err
	}
	if err := c.itself(s.Ctx, to, header); err != nil {
		return err
	}
	if c.Check {
		if to == nil { // there is nothing yet
			return checkAgainst(s, catalog{}, f, true)
		}
		return check(s, to, f, c.Force)
	}
	res, err := restore(s, to, f, c.Force)
	if errors.Is(err, fault.StoreNotEmpty) {
		return fault.New(fault.StoreNotEmpty, "the store that %s names has a catalog already, which this one would replace", c.where()).
			With("to", c.where()).WithFix("compare the two with --check, and replace it with --force")
	}
	for pass := 1; err == nil; pass++ {
		changed, failed := changedSince(s.Ctx, from, header, summary)
		switch {
		case failed != nil:
			return failed
		case !changed:
			return c.report(s, res)
		case pass == maxPasses:
			return fault.New(fault.Conflict, "the catalog has changed each of the %d times that it was copied", maxPasses).
				WithFix("stop publishing, and migrate again with --force")
		}
		s.Progressf("the catalog has changed meanwhile: copying it again")
		if header, summary, err = c.copy(s, from, f); err == nil {
			res, err = restore(s, to, f, true)
		}
	}
	return err
}

// copy copies the catalog into a file and checks the copy.
func (c *Migrate) copy(s *session.Session, from *client.Client, f *os.File) (archive.Header, archive.Summary, error) {
	none := func(err error) (archive.Header, archive.Summary, error) {
		return archive.Header{}, archive.Summary{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return none(session.FileError(err, "cannot write", f.Name()))
	}
	if err := f.Truncate(0); err != nil {
		return none(session.FileError(err, "cannot write", f.Name()))
	}
	step, done := s.Progress("receiving")
	defer done()
	if err := receive(s.Ctx, from, &ruedov1.ReadBackupRequest{}, f, step); err != nil {
		return none(unwritten(err, f.Name()))
	}
	return verify(f)
}

// target returns a client of the other store; nil for one that has nothing of the
// cluster, if that is only to be checked.
func (c *Migrate) target(s *session.Session, header archive.Header) (*client.Client, error) {
	switch {
	case c.To != "":
		return s.Other(nil, c.To)
	case c.ToProfile != "":
		p, err := s.Profiles().Load(c.ToProfile)
		if err != nil {
			return nil, err
		}
		return s.Other(p, "")
	}
	now := s.Settings.Store
	st := settings.Store{DataDir: c.ToDataDir, Quota: now.Quota, StartTimeout: now.StartTimeout}
	if len(c.ToEtcdHosts) > 0 {
		st = now
		st.EtcdHosts, st.DataDir = strings.FieldsFunc(strings.Join(c.ToEtcdHosts, " "), func(r rune) bool { return r == ' ' || r == ',' }), ""
	}
	id := c.ToClusterID
	if id == "" {
		id = header.Cluster
	}
	return s.Assembler().Other(s.Ctx, s.QuietLogger(), st, id, !c.Check)
}

// itself refuses to migrate a store onto itself.
func (c *Migrate) itself(ctx context.Context, to *client.Client, from archive.Header) error {
	if to == nil {
		return nil
	}
	there := &head{}
	if _, err := follow(ctx, to, true, func(int64, int64) {}, there); !errors.Is(err, errEnough) && !errors.Is(err, fault.StoreRestoring) {
		return err
	}
	if from.Store == "" || there.Store != from.Store {
		return nil
	}
	return fault.New(fault.SameStore, "cluster %s is in that store already: a store cannot be migrated onto itself", from.Cluster).
		WithFix("name another store, or another cluster id there")
}

// head reads the header of a backup and nothing else.
type head struct{ archive.Header }

var errEnough = errors.New("the header is enough")

func (h *head) begin(header archive.Header) error {
	h.Header = header
	return errEnough
}

func (h *head) add(archive.Entry) error { return errEnough }

// changedSince reports whether the catalog is not as it was copied.
func changedSince(ctx context.Context, core *client.Client, h archive.Header, sum archive.Summary) (bool, error) {
	services, err := client.All(core.ListServices(ctx, &ruedov1.ListServicesRequest{}))
	if err != nil {
		return false, err
	}
	decorators, err := client.All(core.ListDecorators(ctx, &ruedov1.ListDecoratorsRequest{}))
	if err != nil {
		return false, err
	}
	changed := len(services) != sum.Services || len(decorators) != sum.Decorators
	for _, s := range services {
		changed = changed || s.GetVersion() > h.Revision
	}
	for _, d := range decorators {
		changed = changed || d.GetVersion() > h.Revision
	}
	return changed, nil
}

func (c *Migrate) report(s *session.Session, res *ruedov1.RestoreCatalogResponse) error {
	if done, err := s.PrintMessage(res, c.where()); done {
		return err
	}
	s.Progressf("what is published to the old store from now on is not copied: restart its cores with the settings of the new one")
	return s.Printf("migrated %s to %s", restored(res), c.where())
}

// where names the other store.
func (c *Migrate) where() string {
	if len(c.ToEtcdHosts) > 0 {
		return strings.Join(c.ToEtcdHosts, " ")
	}
	return c.To + c.ToProfile + c.ToDataDir // exactly one of them
}
