package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/history"
	"github.com/ruedo-dev/ruedo/core/store/table"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// KeptRevisions is how many revisions of a decorator are kept, the live one
// included.
const KeptRevisions = 50

// ErrCarriersChanged is the cause of a CONFLICT because a service was published
// or deleted after [Store.Carriers] or [Store.Routed]: it may carry a decorator that
// is being changed, or have a route that is being published. Reading them again
// helps.
var ErrCarriersChanged = errors.New("services have changed since they were looked up")

// Change is a decorator to write.
type Change struct {
	Decorator *ruedov1.Decorator
	// New creates the decorator, which must not exist.
	New bool
	// Seen is the version that the caller has read; zero means whatever is
	// stored now.
	Seen int64
	// Carriers makes the change fail if a service has changed since this
	// revision of the store. Zero does not.
	Carriers int64
	// Revision is the number of a stored revision that becomes live again. Zero
	// makes a new revision.
	Revision uint64
}

// draft is a change as the parts of a transaction.
type draft struct {
	change Change
	next   *ruedov1.Decorator
	value  string
	seen   int64          // version of the key; zero: none
	when   []clientv3.Cmp // conditions
	then   []clientv3.Op
	look   []clientv3.Op // one, for refusal
}

// draft reads the stored decorator and puts it into the history, which needs no
// transaction with the change: what is there is true whether or not the change
// is made.
func (s *Store) draft(ctx context.Context, c Change) (*draft, error) {
	name := c.Decorator.GetName()
	key, err := s.space.Decorator(name)
	if err != nil {
		return nil, err
	}
	w := &draft{change: c, look: []clientv3.Op{clientv3.OpGet(key, clientv3.WithKeysOnly())}}
	was := &ruedov1.Decorator{}
	if !c.New {
		got, err := s.cluster.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if len(got.Kvs) == 0 {
			return nil, missing(ctx, s, table.Decorators(), name)
		}
		w.seen = got.Kvs[0].ModRevision
		if c.Seen != 0 && c.Seen != w.seen {
			return nil, table.Decorators().Changed(name, c.Seen)
		}
		if was, err = s.keep(ctx, name, got.Kvs[0]); err != nil {
			return nil, err
		}
	}
	w.when = []clientv3.Cmp{guard.Unchanged(key, w.seen)}
	w.next = proto.CloneOf(c.Decorator)
	w.next.Version, w.next.CreateTime, w.next.UpdateTime = 0, was.GetCreateTime(), timestamppb.Now()
	if w.next.CreateTime == nil {
		w.next.CreateTime = w.next.UpdateTime
	}
	w.next.Revision, w.next.Latest = c.Revision, was.GetLatest()
	if c.Revision == 0 {
		w.next.Latest++
		w.next.Revision = w.next.Latest
	}
	if w.value, err = table.Encode(w.next); err != nil {
		return nil, err
	}
	if len(w.value) > maxWrite {
		return nil, fault.New(fault.RequestInvalid, "decorator %s takes %d bytes in the store, over the limit of %d", name, len(w.value), maxWrite).
			WithFix("shorten its schema")
	}
	w.then = []clientv3.Op{clientv3.OpPut(key, w.value)}
	forget, err := s.forget(name, w.next.GetLatest())
	w.then = append(w.then, forget...)
	return w, err
}

// keep writes a stored decorator to the history, and returns it with its
// number. An unreadable one is not kept: this change replaces it.
func (s *Store) keep(ctx context.Context, name string, kv *mvccpb.KeyValue) (*ruedov1.Decorator, error) {
	was := &ruedov1.Decorator{}
	readable := proto.Unmarshal(kv.Value, was) == nil
	if !readable {
		was = &ruedov1.Decorator{}
	}
	if was.GetLatest() == 0 {
		// It was written by a program that counts no revisions.
		n, err := s.decoratorRevisions(name).Latest(ctx)
		if err != nil {
			return nil, err
		}
		was.Revision, was.Latest = n+1, n+1
	}
	if !readable {
		return was, nil
	}
	key, err := s.space.DecoratorRevision(name, was.GetRevision())
	if err != nil {
		return nil, err
	}
	value, err := table.Encode(was)
	if err != nil {
		return nil, err
	}
	done, err := s.guard.Commit(ctx, chain.Unrecorded{}, []clientv3.Cmp{guard.Unchanged(string(kv.Key), kv.ModRevision)}, []clientv3.Op{clientv3.OpPut(key, value)}, nil)
	if err == nil && !done.Succeeded {
		err = table.Decorators().Changed(name, kv.ModRevision)
	}
	return was, err
}

// forget returns the operations that remove revisions that are not kept. For
// revision 1, these are all: a decorator of the same name was deleted.
func (s *Store) forget(name string, latest uint64) ([]clientv3.Op, error) {
	prefix, err := s.space.DecoratorRevisions(name)
	if err != nil || latest == 1 {
		return []clientv3.Op{clientv3.OpDelete(prefix, clientv3.WithPrefix())}, err
	}
	if latest <= KeptRevisions {
		return nil, nil
	}
	end, err := s.space.DecoratorRevision(name, latest-KeptRevisions+1)
	return []clientv3.Op{clientv3.OpDelete(prefix, clientv3.WithRange(end))}, err
}

// entry returns what the audit says of the change.
func (w *draft) entry() chain.Change {
	e := chain.Change{Action: "update", Noun: "decorator", Name: w.next.GetName(), Summary: fmt.Sprintf("revision %d", w.next.GetRevision()), Before: w.seen}
	switch {
	case w.change.New:
		e.Action = "create"
	case w.change.Revision != 0:
		e.Action = "rollback"
	}
	return e
}

// refusal returns why a transaction failed; looked is the answer to look.
func (w *draft) refusal(ctx context.Context, s *Store, looked *etcdserverpb.ResponseOp) error {
	var now int64
	if kvs := looked.GetResponseRange().GetKvs(); len(kvs) > 0 {
		now = kvs[0].ModRevision
	}
	name := w.next.GetName()
	switch {
	case now == w.seen:
		return fault.Wrap(ErrCarriersChanged, fault.Conflict, "services are being published all the time; decorator %s was not changed", name).WithFix("try again")
	case w.change.New:
		return fault.New(fault.AlreadyExists, "decorator %s already exists", name).
			With("decorator", name).WithFix("change it, or choose another name")
	case now == 0:
		return missing(ctx, s, table.Decorators(), name)
	}
	return table.Decorators().Changed(name, w.seen)
}

// decoratorRevisions returns the history of a decorator: its revisions without
// the live one.
func (s *Store) decoratorRevisions(name string) history.List {
	return history.List{Store: s.cluster, Key: func(n uint64) (string, error) { return s.space.DecoratorRevision(name, n) }}
}

// DecoratorRevision reads one revision of a decorator. REVISION_NOT_FOUND says
// which exist; DECORATOR_NOT_FOUND; INTEGRITY.
func (s *Store) DecoratorRevision(ctx context.Context, name string, n uint64) (*ruedov1.Decorator, error) {
	live, err := s.Decorator(ctx, name)
	if err != nil || live.GetRevision() == n {
		return live, err
	}
	var d *ruedov1.Decorator
	err = s.cluster.Do(ctx, "read a revision of decorator "+name, func(ctx context.Context) error {
		key, err := s.space.DecoratorRevision(name, n)
		if err != nil {
			return err
		}
		got, err := s.cluster.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(got.Kvs) > 0 && n <= live.GetLatest() {
			d, err = decodeDecoratorRevision(name, n, got.Kvs[0])
			return err
		}
		first, err := s.decoratorRevisions(name).First(ctx)
		if err != nil {
			return err
		}
		if first == 0 {
			first = live.GetRevision()
		}
		return fault.New(fault.RevisionNotFound, "decorator %s has no revision %d: it has %d to %d", name, n, first, live.GetLatest()).
			With("decorator", name).WithFix("list the revisions of the decorator")
	})
	return d, err
}

// DecoratorRevisions reads a page of a decorator's revisions, newest first, as
// [Store.Revisions] does.
func (s *Store) DecoratorRevisions(ctx context.Context, name string, p Page) (revs []*ruedov1.Decorator, next uint64, err error) {
	live, err := s.Decorator(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	if p.From == 0 || p.From > live.GetLatest() {
		p.From = live.GetLatest()
	}
	var kvs []*mvccpb.KeyValue
	err = s.cluster.Do(ctx, "read the revisions of decorator "+name, func(ctx context.Context) (err error) {
		kvs, next, err = s.decoratorRevisions(name).Page(ctx, p)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	for _, kv := range kvs {
		k, _ := s.space.Parse(string(kv.Key))
		if k.Number == live.GetRevision() { // it was live before, and is again
			continue
		}
		d, err := decodeDecoratorRevision(name, k.Number, kv)
		if err != nil {
			s.logger.Warn("a revision in the store cannot be read", "decorator", name, "revision", k.Number)
		}
		revs = append(revs, d)
	}
	if n := live.GetRevision(); next < n && n <= p.From {
		at := slices.IndexFunc(revs, func(d *ruedov1.Decorator) bool { return d.GetRevision() < n })
		if at < 0 {
			at = len(revs)
		}
		revs = slices.Insert(revs, at, live)
	}
	if len(revs) > p.Items {
		next = revs[p.Items].GetRevision()
		revs = revs[:p.Items]
	}
	return revs, next, nil
}

// decodeDecoratorRevision decodes a revision. If it fails with INTEGRITY, the
// revision has only its number.
func decodeDecoratorRevision(name string, n uint64, kv *mvccpb.KeyValue) (*ruedov1.Decorator, error) {
	d := &ruedov1.Decorator{}
	if err := proto.Unmarshal(kv.Value, d); err != nil {
		return &ruedov1.Decorator{Name: name, Revision: n}, table.Unreadable(err, fmt.Sprintf("revision %d of decorator", n), name, table.Decorators().Mend)
	}
	d.Name, d.Revision, d.Version = name, n, kv.ModRevision
	return d, nil
}
