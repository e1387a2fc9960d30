// Package backup writes the catalog of a cluster with its modules to an archive,
// and restores it.
//
//	b := backup.New(backup.Config{Store: store, Mirror: mirror, Version: version})
//	err := b.Send(ctx, stream.Send)
//	res, err := b.Receive(ctx, stream)
//
// # Bounds
//
// A core makes [MaxParallel] copies at a time, and holds one module of each in
// memory. The catalog of a restore is held in memory, compressed, in at most
// [MaxCatalog] bytes, so that nothing is replaced before all of it is here and
// was checked.
package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/whole"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/archive"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

const (
	// MaxParallel is how many backups and restores a core makes at a time.
	MaxParallel = 2
	// MaxCatalog bounds the catalog of a restore, in compressed bytes: some
	// hundred thousand revisions.
	MaxCatalog = 64 << 20
	// maxRestore is how long it can take to replace the catalog once it is here.
	maxRestore = 10 * time.Minute
	// stats is how many modules of a restore are looked up at a time.
	stats = 8
)

// Config says what to copy. All fields but Convert are required.
type Config struct {
	Store interface {
		Cluster() *fleet.Cluster
		Chain() *chain.Chain
		StatModule(ctx context.Context, digest string) (*ruedov1.Module, error)
		ReadModule(ctx context.Context, digest string) ([]byte, error)
	}
	Mirror interface {
		Wait(ctx context.Context, revision int64) error
	}
	// Convert converts a value of an older storage format to another; nil can
	// convert nothing.
	Convert func(from, to uint32, path string, value []byte) ([]byte, error)
	// Restored is called after a catalog was restored, with the cluster and the time
	// of the backup. Nil disables it.
	Restored func(from string, res *ruedov1.RestoreCatalogResponse)
	// Version of this program.
	Version string
}

// Backups makes backups and restores them. Its methods can be called from many
// goroutines.
type Backups struct {
	cfg   Config
	slots chan struct{}
}

// New returns Backups. It starts no goroutines.
func New(cfg Config) *Backups { return &Backups{cfg, make(chan struct{}, MaxParallel)} }

// Write writes an archive of the catalog as it is now; liveOnly leaves out what is
// not live. Errors of w are returned as they are. CONFLICT: the store was compacted
// or cleaned up meanwhile, try again. INTEGRITY: a value or a module is damaged.
func (b *Backups) Write(ctx context.Context, w io.Writer, liveOnly bool) (archive.Summary, error) {
	var out *archive.Writer
	var check archive.Check
	cluster := b.cfg.Store.Cluster()
	err := whole.Read(ctx, cluster, func(o whole.Origin) (err error) {
		out, err = archive.NewWriter(w, header(cluster, o, b.cfg.Version))
		return err
	}, func(path string, value []byte) error {
		entries := []archive.Entry{{Path: path, Value: value}}
		if liveOnly {
			entries = live(entries[0])
		}
		for _, e := range entries {
			if err := check.Add(e); err != nil {
				return fault.Wrap(err, fault.Integrity, "%s in the store cannot be read", path).WithFix("publish the service or write the decorator again, or delete it")
			}
			if err := out.Add(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return archive.Summary{}, err
	}
	for _, digest := range slices.Sorted(maps.Keys(check.Modules())) {
		wasm, err := b.cfg.Store.ReadModule(ctx, digest)
		switch {
		case errors.Is(err, fault.ModuleNotFound):
			return archive.Summary{}, fault.Wrap(err, fault.Conflict, "module %s, which %s needs, is no longer in the store", digest, check.Modules()[digest]).
				WithFix("try again; if it happens again, publish the service again")
		case err != nil:
			return archive.Summary{}, err
		}
		if err := out.Add(archive.ModuleEntry(digest, wasm)); err != nil {
			return archive.Summary{}, err
		}
	}
	return out.Close()
}

func header(c *fleet.Cluster, o whole.Origin, version string) archive.Header {
	return archive.Header{
		Cluster: c.Space().Cluster(), Store: o.Store, StoreFormat: o.Format, Revision: o.Revision,
		Time: time.Now().UTC().Truncate(time.Second), Version: version,
	}
}

// live returns what is live of an entry. The live revision of a service is stored
// in the service too, from which it is taken.
func live(e archive.Entry) []archive.Entry {
	if e.History() {
		return nil
	}
	if revision, ok := e.LiveRevision(); ok {
		return []archive.Entry{revision, e}
	}
	return []archive.Entry{e}
}

// Request is a restore.
type Request struct {
	// Archive of a catalog, with or without its modules.
	Archive []byte
	// Force replaces a catalog that is not empty.
	Force bool
}

// Restore checks the whole archive, replaces the catalog, and returns when this
// core has read it. Modules must have been uploaded.
// Once it has begun to replace, it goes on even if ctx ends. BACKUP_INVALID,
// MODULE_NOT_FOUND; see [whole.Replace].
func (b *Backups) Restore(ctx context.Context, req Request) (*ruedov1.RestoreCatalogResponse, error) {
	header, summary, err := b.verify(ctx, req.Archive)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxRestore)
	defer cancel()
	from := fmt.Sprintf("cluster %s of %s", header.Cluster, header.Time.Format(time.DateTime))
	version, err := whole.Replace(ctx, b.cfg.Store.Cluster(), b.cfg.Store.Chain(), whole.Replacement{
		Values: b.values(req.Archive), Force: req.Force,
		Backup: from,
	})
	if err != nil {
		return nil, err
	}
	res := &ruedov1.RestoreCatalogResponse{
		Services: uint32(summary.Services), Revisions: uint32(summary.Revisions), Decorators: uint32(summary.Decorators), Version: version,
	}
	if b.cfg.Restored != nil {
		b.cfg.Restored(from, res)
	}
	return res, b.cfg.Mirror.Wait(ctx, version)
}

// limits of a catalog that arrives here. Modules are uploaded on their own.
var catalogLimits = archive.Limits{Module: -1, Bytes: 4 << 30}

// open begins to read an archive of a catalog. It fails with BACKUP_INVALID for one
// of a newer storage format.
func (b *Backups) open(data []byte) (*archive.Reader, error) {
	a, err := archive.NewReader(bytes.NewReader(data), catalogLimits)
	if err != nil {
		return nil, err
	}
	if f, known := a.Header().StoreFormat, b.cfg.Store.Cluster().Format(); f > known {
		a.Close()
		return nil, fault.New(fault.BackupInvalid, "the backup cannot be used: it is of a store of format %d, this core knows %d", f, known).WithFix("use newer cores")
	}
	return a, nil
}

// next returns the next entry, in the format of this program.
func (b *Backups) next(a *archive.Reader) (archive.Entry, error) {
	e, err := a.Next()
	from, to := max(a.Header().StoreFormat, 1), b.cfg.Store.Cluster().Format()
	if err != nil || from == to {
		return e, err
	}
	if b.cfg.Convert == nil {
		return e, fault.New(fault.BackupInvalid, "the backup cannot be used: it is of a store of format %d, this core knows only %d", from, to)
	}
	e.Value, err = b.cfg.Convert(from, to, e.Path, e.Value)
	return e, err
}

// verify reads all of an archive, and checks that its modules are here.
func (b *Backups) verify(ctx context.Context, data []byte) (archive.Header, archive.Summary, error) {
	a, err := b.open(data)
	if err != nil {
		return archive.Header{}, archive.Summary{}, err
	}
	defer a.Close()
	var check archive.Check
	for {
		if err := ctx.Err(); err != nil {
			return archive.Header{}, archive.Summary{}, err
		}
		e, err := b.next(a)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = check.Add(e)
		}
		if err != nil {
			return archive.Header{}, archive.Summary{}, err
		}
	}
	if err := check.End(func(string) bool { return true }); err != nil {
		return archive.Header{}, archive.Summary{}, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(stats)
	for digest := range check.Modules() {
		g.Go(func() error {
			_, err := b.cfg.Store.StatModule(gctx, digest)
			return err
		})
	}
	return a.Header(), a.Summary(), g.Wait()
}

// values yields the values of an archive that was verified.
func (b *Backups) values(data []byte) iter.Seq2[whole.Value, error] {
	return func(yield func(whole.Value, error) bool) {
		a, err := b.open(data)
		if err != nil {
			yield(whole.Value{}, err)
			return
		}
		defer a.Close()
		for {
			e, err := b.next(a)
			if errors.Is(err, io.EOF) || !yield(whole.Value(e), err) || err != nil {
				return
			}
		}
	}
}
