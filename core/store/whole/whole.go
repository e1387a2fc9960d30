// Package whole reads the catalog of a cluster as a whole, and replaces it.
//
//	err := whole.Read(ctx, cluster, begin, func(path string, value []byte) error { ... })
//	revision, err := whole.Replace(ctx, cluster, audit, whole.Replacement{Values: values, Backup: "main of ..."})
//
// A value is named by its path: its key without the cluster. Modules are not
// part of it, and neither is what belongs to the cluster and not to the catalog:
// users, tokens, roles, links, what seals and certifies, and the audit. So a backup
// carries no credential to another cluster, and a restore takes none away.
//
// # Read
//
// Everything is read as of one revision of the store, in pages, while others
// write.
//
// # Replace
//
// A catalog does not fit into one transaction. So the first one changes the
// storage format of the cluster to that of a store that is being restored: from
// then on all cores refuse writes and keep what they have in memory, and a write
// that was on its way fails, because every write is conditional on the format.
// Every write of the replacement is conditional on it too, so of two
// replacements the later one wins. The last transaction writes a normal format
// again, and the cores read the new catalog. If the process dies in between, the
// store stays as it is, cores say STORE_RESTORING, and the replacement can be
// repeated.
package whole

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/text"
)

const (
	// pageItems bounds a page of a read. A value has at most 1.4 MiB, most have
	// one KiB.
	pageItems = 200
	// maxOps and maxBytes bound one transaction; etcd refuses 128 operations and
	// 1.5 MiB.
	maxOps   = 100
	maxBytes = 1 << 20
)

// prefixes returns what a catalog consists of. Services come last, so that a
// catalog that is only partly written has no service without its revision.
func prefixes(space keys.Space) []string {
	return []string{
		space.Prefix(keys.KindDecorator), space.AllDecoratorRevisions(), space.AllRevisions(), space.Prefix(keys.KindService),
	}
}

// Origin says what was read.
type Origin struct {
	// Store is the short id of the store, and Format its storage format.
	Store  string
	Format uint32
	// Revision is the revision of the store as of which everything is read.
	Revision int64
}

// Read calls each with every value of the catalog; begin is called first. CONFLICT
// means that the store was compacted meanwhile: try again. Errors of begin and each
// are returned as they are.
func Read(ctx context.Context, c *fleet.Cluster, begin func(Origin) error, each func(path string, value []byte) error) error {
	return read(ctx, c, c.ReadFormat, begin, each)
}

// ReadOlder is Read for a store of an older format.
func ReadOlder(ctx context.Context, c *fleet.Cluster, begin func(Origin) error, each func(path string, value []byte) error) error {
	return read(ctx, c, func([]byte) error { return nil }, begin, each)
}

func read(ctx context.Context, c *fleet.Cluster, check func(format []byte) error, begin func(Origin) error, each func(path string, value []byte) error) error {
	format, revision, err := readFormat(ctx, c)
	if err == nil {
		err = check(format)
	}
	if err == nil {
		err = begin(Origin{fleet.StoreID(format), fleet.FormatNumber(format), revision})
	}
	if err != nil {
		return err
	}
	for v, err := range values(ctx, c, "", clientv3.WithRev(revision)) {
		if err == nil {
			err = each(v.Path, v.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Values yields the values of a catalog as they are now, whatever their format:
// those after a path, or all if it is empty. It ends after an error.
func Values(ctx context.Context, c *fleet.Cluster, after string) iter.Seq2[Value, error] {
	return values(ctx, c, after)
}

func values(ctx context.Context, c *fleet.Cluster, after string, opts ...clientv3.OpOption) iter.Seq2[Value, error] {
	return func(yield func(Value, error) bool) {
		all := prefixes(c.Space())
		first := ""
		if after != "" {
			first = string(c.Space()) + after
			for len(all) > 0 && !strings.HasPrefix(first, all[0]) {
				all = all[1:]
			}
			first += "\x00"
		}
		for _, prefix := range all {
			for kv, err := range pages(ctx, c, prefix, cmp.Or(first, prefix), opts...) {
				if !yield(Value{kv.path, kv.value}, err) || err != nil {
					return
				}
			}
			first = ""
		}
	}
}

func readFormat(ctx context.Context, c *fleet.Cluster) (format []byte, revision int64, err error) {
	err = c.Do(ctx, "read the storage format", func(ctx context.Context) error {
		got, err := c.Get(ctx, c.Space().Format())
		if err != nil {
			return err
		}
		revision = got.Header.Revision
		if len(got.Kvs) > 0 {
			format = got.Kvs[0].Value
		}
		return nil
	})
	return format, revision, err
}

type pair struct {
	path  string
	value []byte
}

// pages reads the keys under a prefix, in order, beginning with one of them.
func pages(ctx context.Context, c *fleet.Cluster, prefix, from string, opts ...clientv3.OpOption) iter.Seq2[pair, error] {
	return func(yield func(pair, error) bool) {
		end := clientv3.GetPrefixRangeEnd(prefix)
		for more := true; more; {
			var got *clientv3.GetResponse
			err := c.Do(ctx, "read the catalog", func(ctx context.Context) (err error) {
				got, err = c.Get(ctx, from, append(opts, clientv3.WithRange(end), clientv3.WithLimit(pageItems))...)
				return err
			})
			if errors.Is(err, rpctypes.ErrCompacted) {
				err = fault.New(fault.Conflict, "the store was compacted while it was read").WithFix("try again")
			}
			if err != nil {
				yield(pair{}, err)
				return
			}
			for _, kv := range got.Kvs {
				if !yield(pair{string(kv.Key)[len(c.Space()):], kv.Value}, nil) {
					return
				}
				from = string(kv.Key) + "\x00"
			}
			more = got.More
		}
	}
}

// Replacement is a catalog to write.
type Replacement struct {
	// Values by path, as [Read] returns them. An error ends the replacement.
	Values iter.Seq2[Value, error]
	// Backup says where it comes from, for those who wait for it.
	Backup string
	// Force replaces a catalog that is not empty.
	Force bool
}

// Value is one value of a catalog.
type Value struct {
	Path  string
	Value []byte
}

// Replace replaces the catalog and returns the revision of the store with which
// it is complete. STORE_NOT_EMPTY if there is one, without force; INTEGRITY for
// a path that is not one of a catalog; STORE_RESTORING, with the cause, if it stopped in the
// middle, or if another one has begun meanwhile.
func Replace(ctx context.Context, c *fleet.Cluster, audit *chain.Chain, r Replacement) (revision int64, err error) {
	now, _, err := readFormat(ctx, c)
	if err != nil {
		return 0, err
	}
	w := &writer{cluster: c, audit: audit}
	var after []byte
	if w.format, after, err = c.Restore(now, r.Backup); err != nil {
		return 0, err
	}
	repeated := now != nil && errors.Is(c.ReadFormat(now), fault.StoreRestoring)
	if err := w.begin(ctx, now, r.Backup, r.Force || repeated); err != nil {
		return 0, err
	}
	if err := w.replace(ctx, r.Values); err != nil {
		return 0, interrupted(err, w.written)
	}
	what := chain.Change{Action: "restore", Noun: "cluster", Name: c.Space().Cluster(), Summary: fmt.Sprintf("complete, with %s", text.Count(w.written, "value"))}
	if revision, err = w.commit(ctx, what, []clientv3.Op{clientv3.OpPut(c.Space().Format(), string(after))}); err != nil {
		return 0, interrupted(err, w.written)
	}
	return revision, nil
}

func interrupted(err error, written int) error {
	if errors.Is(err, errTakenOver) {
		return err
	}
	return fault.Wrap(err, fault.StoreRestoring, "the restore stopped after %s: %s", text.Count(written, "value"), text.Cause(err)).
		WithFix("repeat it; until then calls continue from memory and writes are refused")
}

var errTakenOver = fault.New(fault.StoreRestoring, "another restore has begun meanwhile, and takes over").WithFix("wait until it has ended")

// writer writes while the store has the format of a restore.
type writer struct {
	cluster *fleet.Cluster
	audit   *chain.Chain
	format  []byte
	written int

	ops   []clientv3.Op
	bytes int
}

// begin changes the format from what it is now.
func (w *writer) begin(ctx context.Context, now []byte, backup string, force bool) error {
	space := w.cluster.Space()
	same := clientv3.Compare(clientv3.CreateRevision(space.Format()), "=", 0)
	if now != nil {
		same = clientv3.Compare(clientv3.Value(space.Format()), "=", string(now))
	}
	if err := w.cluster.Check(); err != nil {
		return err
	}
	conditions := []clientv3.Cmp{same}
	var look []clientv3.Op
	if !force {
		for _, prefix := range prefixes(space) {
			conditions = append(conditions, clientv3.Compare(clientv3.CreateRevision(prefix).WithPrefix(), "=", 0))
			look = append(look, clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithCountOnly()))
		}
	}
	return w.cluster.Do(ctx, "begin a restore", func(ctx context.Context) error {
		what := chain.Change{Action: "restore", Noun: "cluster", Name: space.Cluster(), Summary: "begins: the backup of " + backup}
		done, err := w.audit.Append(ctx, what, func(p chain.Part) (*clientv3.TxnResponse, error) {
			return w.cluster.Txn(ctx).
				If(append(p.When, conditions...)...).
				Then(append(p.Then, clientv3.OpPut(space.Format(), string(w.format)))...).
				Else(look...).Commit()
		})
		if err != nil || done.Succeeded {
			return err
		}
		n := int64(0)
		for _, r := range done.Responses {
			n += r.GetResponseRange().GetCount()
		}
		if n > 0 {
			return fault.New(fault.StoreNotEmpty, "cluster %s has %s in the store, which the restore would replace", space.Cluster(), text.Count(int(n), "value")).
				WithFix("restore into an empty cluster, or force it")
		}
		return fault.New(fault.Conflict, "the store has changed meanwhile").WithFix("try again")
	})
}

// replace removes the catalog and writes the values.
func (w *writer) replace(ctx context.Context, values iter.Seq2[Value, error]) error {
	for _, prefix := range prefixes(w.cluster.Space()) {
		if err := w.remove(ctx, prefix); err != nil {
			return err
		}
	}
	for v, err := range values {
		if err == nil {
			err = w.put(ctx, v)
		}
		if err != nil {
			return err
		}
	}
	return w.flush(ctx)
}

// remove removes the keys under a prefix, some at a time: one transaction that
// removed very many would hold up the store.
func (w *writer) remove(ctx context.Context, prefix string) error {
	for {
		var last string
		n := 0
		for kv, err := range pages(ctx, w.cluster, prefix, prefix, clientv3.WithKeysOnly()) {
			if err != nil {
				return err
			}
			last = string(w.cluster.Space()) + kv.path
			if n++; n == pageItems {
				break
			}
		}
		if n == 0 {
			return nil
		}
		if _, err := w.commit(ctx, chain.Unrecorded{}, []clientv3.Op{clientv3.OpDelete(prefix, clientv3.WithRange(last+"\x00"))}); err != nil {
			return err
		}
	}
}

func (w *writer) put(ctx context.Context, v Value) error {
	space := w.cluster.Space()
	key := string(space) + v.Path
	k, ok := space.Parse(key)
	switch k.Kind {
	case keys.KindService, keys.KindRevision, keys.KindDecorator, keys.KindDecoratorRevision:
	default:
		ok = false
	}
	if !ok {
		return fault.New(fault.Integrity, "%s is not part of a catalog", keys.Quote(v.Path))
	}
	if len(w.ops) == maxOps || w.bytes+len(v.Value) > maxBytes {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	w.ops = append(w.ops, clientv3.OpPut(key, string(v.Value)))
	w.bytes += len(key) + len(v.Value)
	return nil
}

func (w *writer) flush(ctx context.Context) error {
	if len(w.ops) == 0 {
		return nil
	}
	if _, err := w.commit(ctx, chain.Unrecorded{}, w.ops); err != nil {
		return err
	}
	w.written += len(w.ops)
	w.ops, w.bytes = w.ops[:0], 0
	return nil
}

// commit writes if the store still has the format of this restore.
func (w *writer) commit(ctx context.Context, what chain.Entry, ops []clientv3.Op) (revision int64, err error) {
	if err := cmp.Or(w.cluster.Check(), w.cluster.Admit(ops)); err != nil {
		return 0, err
	}
	err = w.cluster.Do(ctx, "restore the catalog", func(ctx context.Context) error {
		done, err := w.audit.Append(ctx, what, func(p chain.Part) (*clientv3.TxnResponse, error) {
			return w.cluster.Txn(ctx).
				If(append(p.When, clientv3.Compare(clientv3.Value(w.cluster.Space().Format()), "=", string(w.format)))...).
				Then(append(slices.Clip(ops), p.Then...)...).Commit()
		})
		if err == nil && !done.Succeeded {
			return errTakenOver
		}
		if err == nil {
			revision = done.Header.Revision
		}
		return err
	})
	return revision, err
}
