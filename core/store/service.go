package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/modules"
	"github.com/ruedo-dev/ruedo/core/store/table"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// maxWrite bounds what one transaction carries; etcd refuses 1.5 MiB.
	maxWrite = 1400 << 10
	// maxDecorators bounds the compares of one transaction; etcd refuses 128.
	maxDecorators = 64
)

// Service reads a service. SERVICE_NOT_FOUND suggests the nearest name.
func (s *Store) Service(ctx context.Context, name string) (*ruedov1.Service, error) {
	return get(ctx, s, table.Services(), name)
}

// Published returns what the next publish of a service builds on: the service
// as it is stored. If there is none, or if it cannot be read, the result has no
// revision. Latest is then the highest stored revision, so that no number is
// used twice, and Version is that of the key.
func (s *Store) Published(ctx context.Context, name string) (*ruedov1.Service, error) {
	key, err := s.space.Service(name)
	if err != nil {
		return nil, err
	}
	// A publish that will be refused need not be prepared.
	if err := s.guard.Refusal(); err != nil {
		return nil, err
	}
	var svc *ruedov1.Service
	err = s.cluster.Do(ctx, "read service "+name, func(ctx context.Context) error {
		got, err := s.cluster.Get(ctx, key)
		if err != nil {
			return err
		}
		var version int64
		if len(got.Kvs) > 0 {
			if svc, err = table.Services().Decode(name, got.Kvs[0]); err == nil {
				return nil
			}
			version = got.Kvs[0].ModRevision
			s.logger.Warn("a service in the store cannot be read; this publish replaces it", "service", name)
		}
		// As of the same moment: a service that comes and goes meanwhile must not leave
		// its numbers to the next one of its name.
		numbers := s.revisions(name)
		numbers.At = got.Header.Revision
		latest, err := numbers.Latest(ctx)
		svc = &ruedov1.Service{Name: name, Latest: latest, Version: version}
		return err
	})
	if err != nil {
		return nil, err
	}
	return svc, nil
}

// PublishService is Publish without decorators that change.
func (s *Store) PublishService(ctx context.Context, svc *ruedov1.Service, seen int64) (*ruedov1.Service, error) {
	svc, _, err := s.Publish(ctx, Publication{Service: svc, Seen: seen})
	return svc, err
}

// Publish makes p.Service what the service is, and its revision the live one,
// and makes the changes of decorators, in one transaction. The revision is
// written if its number is new. Otherwise it must equal the stored one, so that
// the same call can roll back.
//
// It returns the service with its new version, and the decorators as they were
// written. CONFLICT if something has changed since it was read;
// MODULE_NOT_FOUND; DECORATOR_NOT_FOUND; ALREADY_EXISTS for a new decorator.
func (s *Store) Publish(ctx context.Context, p Publication) (svc *ruedov1.Service, written []*ruedov1.Decorator, err error) {
	pub, err := s.publication(p)
	if err != nil {
		return nil, nil, err
	}
	err = s.cluster.Do(ctx, "publish service "+p.Service.GetName(), func(ctx context.Context) error { return pub.commit(ctx, s) })
	if err != nil {
		return nil, nil, err
	}
	for _, w := range pub.drafts {
		w.next.Version = pub.service.GetVersion()
		written = append(written, w.next)
	}
	return pub.service, written, nil
}

// DeleteService removes a service and all its revisions, and returns the
// store's revision of the deletion. SERVICE_NOT_FOUND.
func (s *Store) DeleteService(ctx context.Context, name string) (int64, error) {
	key, err := s.space.Service(name)
	if err != nil {
		return 0, err
	}
	revisions, err := s.space.Revisions(name)
	if err != nil {
		return 0, err
	}
	var version int64
	err = s.cluster.Do(ctx, "delete service "+name, func(ctx context.Context) error {
		done, err := s.guard.Commit(ctx, chain.Change{Action: "delete", Noun: "service", Name: name},
			[]clientv3.Cmp{guard.Exists(key)},
			[]clientv3.Op{clientv3.OpDelete(key), clientv3.OpDelete(revisions, clientv3.WithPrefix())},
			nil)
		if err != nil {
			return err
		}
		if !done.Succeeded {
			return missing(ctx, s, table.Services(), name)
		}
		version = done.Header.Revision
		return nil
	})
	return version, err
}

// Publication is a service to write.
type Publication struct {
	Service *ruedov1.Service
	// Staged is a new revision to write besides, which does not become live; nil
	// means none. Its number is Service.Latest.
	Staged *ruedov1.Revision
	// Action is what the audit calls it if the revision was written before. Default:
	// "update".
	Action string
	// Seen is the version that the caller has read; zero if there was no such
	// service.
	Seen int64
	// Decorators are the versions of the service's decorators that the caller
	// has read. One that is not here need only exist.
	Decorators map[string]int64
	// Changes are decorators to write. Their Carriers is that of the publication.
	// If it is not zero, no service may have changed since that revision of the
	// store: none carries a changed decorator, or has a route of this service.
	Changes  []Change
	Carriers int64
}

// written returns the revision that the publication writes, or that is stored
// already.
func (p *Publication) written() *ruedov1.Revision {
	if p.Staged != nil {
		return p.Staged
	}
	return p.Service.GetRevision()
}

// publication is a service that is about to be written to the store.
type publication struct {
	Publication
	service    *ruedov1.Service
	seen       int64
	key        string
	revision   string            // key
	manifest   string            // key
	decorators map[string]string // keys by name, of those that do not change
	value      string
	record     string // value of the revision's key
	drafts     []*draft
}

// publication checks what can be checked without the store.
func (s *Store) publication(from Publication) (*publication, error) {
	svc := from.Service
	p := &publication{Publication: from, service: proto.CloneOf(svc), seen: from.Seen, decorators: map[string]string{}}
	p.service.Version, p.service.Readiness = 0, nil
	name, rev := svc.GetName(), p.written()
	var err error
	if p.key, err = s.space.Service(name); err != nil {
		return nil, err
	}
	switch {
	case rev.GetNumber() == 0 || rev.GetService() != name || svc.GetLatest() < rev.GetNumber():
		return nil, fault.New(fault.RequestInvalid, "service %s has no proper revision: number %d of %q, latest %d", name, rev.GetNumber(), rev.GetService(), svc.GetLatest())
	case len(rev.GetDecorators()) > maxDecorators:
		return nil, fault.New(fault.RequestInvalid, "service %s carries %d decorators, over the limit of %d", name, len(rev.GetDecorators()), maxDecorators).
			WithFix("merge some of its decorators into one")
	}
	if p.revision, err = s.space.Revision(name, rev.GetNumber()); err != nil {
		return nil, err
	}
	if p.manifest, err = s.space.ModuleManifest(rev.GetModule()); err != nil {
		return nil, err
	}
	for _, d := range rev.GetDecorators() {
		if slices.ContainsFunc(from.Changes, func(c Change) bool { return c.Decorator.GetName() == d }) {
			continue
		}
		if p.decorators[d], err = s.space.Decorator(d); err != nil {
			return nil, err
		}
	}
	if p.value, err = table.Encode(p.service); err != nil {
		return nil, err
	}
	if p.record, err = table.Encode(rev); err != nil {
		return nil, err
	}
	if size := len(p.value) + len(p.record); size > maxWrite {
		return nil, fault.New(fault.RequestInvalid, "service %s takes %d bytes in the store, over the limit of %d", name, size, maxWrite).
			WithFix("shorten its environment, arguments or example")
	}
	return p, nil
}

// commit runs the transaction. The reason of its error says which condition
// failed.
func (p *publication) commit(ctx context.Context, s *Store) error {
	// A stored revision never changes: a read before the transaction is valid
	// in it as long as the key has not been written again.
	got, err := s.cluster.Get(ctx, p.revision)
	if err != nil {
		return err
	}
	then := []clientv3.Op{clientv3.OpPut(p.key, p.value)}
	var written int64
	if len(got.Kvs) == 0 {
		then = append(then, clientv3.OpPut(p.revision, p.record))
	} else {
		written = got.Kvs[0].ModRevision
		stored := &ruedov1.Revision{}
		if proto.Unmarshal(got.Kvs[0].Value, stored) != nil || !proto.Equal(stored, p.written()) {
			return p.lost("revision %d of service %s is another one by now", p.written().GetNumber(), p.service.GetName())
		}
	}
	when := append(s.carriersUnchanged(p.Carriers), guard.Unchanged(p.key, p.seen), guard.Unchanged(p.revision, written), guard.Exists(p.manifest))
	look := []clientv3.Op{
		clientv3.OpGet(p.key, clientv3.WithKeysOnly()),
		clientv3.OpGet(p.manifest, clientv3.WithCountOnly()),
	}
	names := slices.Sorted(maps.Keys(p.decorators))
	for _, d := range names {
		same := guard.Exists(p.decorators[d])
		if seen, ok := p.Decorators[d]; ok {
			same = guard.Unchanged(p.decorators[d], seen)
		}
		when = append(when, same)
		look = append(look, clientv3.OpGet(p.decorators[d], clientv3.WithKeysOnly()))
	}
	p.drafts = nil
	size := len(p.value) + len(p.record)
	for _, c := range p.Changes {
		w, err := s.draft(ctx, c)
		if err != nil {
			return err
		}
		p.drafts = append(p.drafts, w)
		when, then, look = append(when, w.when...), append(then, w.then...), append(look, w.look...)
		size += len(w.value)
	}
	if size > maxWrite {
		return fault.New(fault.RequestInvalid, "service %s and its decorators take %d bytes in the store, over the limit of %d", p.service.GetName(), size, maxWrite).
			WithFix("write the decorators first, each on its own")
	}
	done, err := s.guard.Commit(ctx, p.entry(written == 0), when, then, look)
	if err != nil {
		return err
	}
	if done.Succeeded {
		p.service.Version = done.Header.Revision
		return nil
	}
	return p.refusal(ctx, s, done, names)
}

// entry returns what the audit says of the publication; recent says that its
// revision is written with it.
func (p *publication) entry(recent bool) chain.Changes {
	e := chain.Change{Action: "publish", Noun: "service", Name: p.service.GetName(), Summary: fmt.Sprintf("revision %d", p.written().GetNumber()), Before: p.seen}
	switch {
	case p.Staged != nil:
		e.Summary += ", not live"
	case !recent:
		e.Action = cmp.Or(p.Action, "update")
	}
	all := chain.Changes{e}
	for _, w := range p.drafts {
		all = append(all, w.entry())
	}
	return all
}

// refusal returns the error for the condition of the transaction that did not
// hold.
func (p *publication) refusal(ctx context.Context, s *Store, done *clientv3.TxnResponse, names []string) error {
	name, rev := p.service.GetName(), p.written()
	var now int64
	if kvs := done.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		now = kvs[0].ModRevision
	}
	switch {
	case now == p.seen:
	case now == 0:
		return p.lost("service %s was deleted meanwhile", name)
	case p.seen == 0:
		return p.lost("service %s was published by somebody else meanwhile: it is at version %d", name, now)
	default:
		return p.lost("service %s has changed meanwhile: it is at version %d, not %d", name, now, p.seen)
	}
	if done.Responses[1].GetResponseRange().GetCount() == 0 {
		return modules.NotFound(rev.GetModule())
	}
	looked := done.Responses[2:]
	for i, d := range names {
		kvs := looked[i].GetResponseRange().GetKvs()
		if len(kvs) == 0 {
			return missing(ctx, s, table.Decorators(), d)
		}
		if seen, ok := p.Decorators[d]; ok && kvs[0].ModRevision != seen {
			return p.lost("decorator %s has changed meanwhile", d)
		}
	}
	for i, w := range p.drafts {
		if err := w.refusal(ctx, s, looked[len(names)+i]); !errors.Is(err, ErrCarriersChanged) {
			return err
		}
	}
	if p.Carriers != 0 {
		return fault.Wrap(ErrCarriersChanged, fault.Conflict, "services are being published all the time; service %s was not published", name).WithFix("try again")
	}
	return p.lost("service %s has changed meanwhile", name)
}

func (p *publication) lost(format string, args ...any) error {
	return fault.New(fault.Conflict, format, args...).
		With("service", p.service.GetName()).WithFix("look at the service, then publish again")
}
