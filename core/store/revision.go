package store

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Revision reads one revision of a service. REVISION_NOT_FOUND says which there
// are; SERVICE_NOT_FOUND.
func (s *Store) Revision(ctx context.Context, service string, n uint64) (*ruedov1.Revision, error) {
	key, err := s.space.Revision(service, n)
	if err != nil {
		return nil, err
	}
	var rev *ruedov1.Revision
	err = s.do(ctx, "read a revision of service "+service, func(ctx context.Context) error {
		got, err := s.client.Get(ctx, key)
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

// Revisions reads all revisions of a service, newest first. SERVICE_NOT_FOUND.
func (s *Store) Revisions(ctx context.Context, service string) ([]*ruedov1.Revision, error) {
	prefix, err := s.space.Revisions(service)
	if err != nil {
		return nil, err
	}
	var revs []*ruedov1.Revision
	err = s.do(ctx, "read the revisions of service "+service, func(ctx context.Context) error {
		got, err := s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
		if err != nil {
			return err
		}
		if len(got.Kvs) == 0 {
			return s.serviceNotFound(ctx, service)
		}
		for _, kv := range got.Kvs {
			rev, err := decodeRevision(service, kv)
			if err != nil {
				return err
			}
			revs = append(revs, rev)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return revs, nil
}

// revisionNotFound says which revisions there are.
func (s *Store) revisionNotFound(ctx context.Context, service string, n uint64) error {
	prefix, err := s.space.Revisions(service)
	if err != nil {
		return err
	}
	end := func(order clientv3.SortOrder) clientv3.Op {
		return clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(1), clientv3.WithSort(clientv3.SortByKey, order))
	}
	got, err := s.client.Txn(ctx).Then(end(clientv3.SortAscend), end(clientv3.SortDescend)).Commit()
	if err != nil {
		return err
	}
	first, last := got.Responses[0].GetResponseRange().GetKvs(), got.Responses[1].GetResponseRange().GetKvs()
	if len(first) == 0 || len(last) == 0 {
		return s.serviceNotFound(ctx, service)
	}
	from, _ := keys.Parse(string(first[0].Key))
	to, _ := keys.Parse(string(last[0].Key))
	return fault.New(fault.RevisionNotFound, "service %s has no revision %d: it has %d to %d", service, n, from.Number, to.Number).
		WithFix("ruedo get revisions %s", service)
}

func decodeRevision(service string, kv *mvccpb.KeyValue) (*ruedov1.Revision, error) {
	k, _ := keys.Parse(string(kv.Key))
	rev := &ruedov1.Revision{}
	if err := proto.Unmarshal(kv.Value, rev); err != nil {
		return nil, unreadable(err, fmt.Sprintf("revision %d of service", k.Number), service)
	}
	rev.Service, rev.Number = service, k.Number
	return rev, nil
}
