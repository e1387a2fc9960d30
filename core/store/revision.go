package store

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/history"
	"github.com/ruedo-dev/ruedo/core/store/table"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Page says which part of a list of revisions to return.
type Page = history.Page

// revisions returns the numbered revisions of a service.
func (s *Store) revisions(service string) history.List {
	return history.List{Store: s.cluster, Key: func(n uint64) (string, error) { return s.space.Revision(service, n) }}
}

// Revision reads one revision of a service. REVISION_NOT_FOUND says which
// exist; SERVICE_NOT_FOUND; INTEGRITY.
func (s *Store) Revision(ctx context.Context, service string, n uint64) (*ruedov1.Revision, error) {
	key, err := s.space.Revision(service, n)
	if err != nil {
		return nil, err
	}
	var rev *ruedov1.Revision
	err = s.cluster.Do(ctx, "read a revision of service "+service, func(ctx context.Context) error {
		got, err := s.cluster.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(got.Kvs) == 0 {
			return s.revisionNotFound(ctx, service, n)
		}
		rev, err = decodeRevision(service, got.Kvs[0])
		return err
	})
	return rev, err
}

// Revisions reads a page of a service's revisions, newest first. next is the
// next page's From, or zero. An unreadable revision has only its number.
// SERVICE_NOT_FOUND.
func (s *Store) Revisions(ctx context.Context, service string, p Page) (revs []*ruedov1.Revision, next uint64, err error) {
	err = s.cluster.Do(ctx, "read the revisions of service "+service, func(ctx context.Context) (err error) {
		list := s.revisions(service)
		if p.From == 0 {
			if p.From, err = list.Latest(ctx); err != nil {
				return err
			}
			if p.From == 0 {
				return missing(ctx, s, table.Services(), service)
			}
		}
		kvs, after, err := list.Page(ctx, p)
		if err != nil {
			return err
		}
		revs, next = nil, after
		for _, kv := range kvs {
			rev, err := decodeRevision(service, kv)
			if err != nil {
				s.logger.Warn("a revision in the store cannot be read", "service", service, "revision", rev.GetNumber())
			}
			revs = append(revs, rev)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return revs, next, nil
}

// revisionNotFound returns an error that says which revisions exist.
func (s *Store) revisionNotFound(ctx context.Context, service string, n uint64) error {
	last, err := s.revisions(service).Latest(ctx)
	if err != nil {
		return err
	}
	if last == 0 {
		return missing(ctx, s, table.Services(), service)
	}
	first, err := s.revisions(service).First(ctx)
	if err != nil {
		return err
	}
	return fault.New(fault.RevisionNotFound, "service %s has no revision %d: it has %d to %d", service, n, first, last).
		With("service", service).WithFix("list the revisions of the service")
}

// decodeRevision decodes a revision. If it fails with INTEGRITY, the revision
// has only its number.
func decodeRevision(service string, kv *mvccpb.KeyValue) (*ruedov1.Revision, error) {
	k, _ := keys.Parse(string(kv.Key))
	rev := &ruedov1.Revision{}
	if err := proto.Unmarshal(kv.Value, rev); err != nil {
		return &ruedov1.Revision{Service: service, Number: k.Number}, table.Unreadable(err, fmt.Sprintf("revision %d of service", k.Number), service, table.Services().Mend)
	}
	rev.Service, rev.Number = service, k.Number
	return rev, nil
}
