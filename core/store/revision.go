package store

import (
	"context"
	"fmt"
	"math"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

const (
	// maxWindow is how many revision numbers one read of a page covers.
	maxWindow = 128
	// pageReads bounds the reads of one page: numbers may have gaps.
	pageReads = 64
)

// Page says which part of a list to return.
type Page struct {
	// From is the highest revision number to return; zero means the newest.
	From uint64
	// Items and Bytes bound the page. A page has at least one item, however
	// large the item is.
	Items, Bytes int
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
//
// It reads windows of numbers, because etcd would look through all revisions
// for a read that has a limit but no end.
func (s *Store) Revisions(ctx context.Context, service string, p Page) (revs []*ruedov1.Revision, next uint64, err error) {
	err = s.cluster.Do(ctx, "read the revisions of service "+service, func(ctx context.Context) (err error) {
		if next = p.From; next == 0 {
			if next, err = s.latest(ctx, service); err != nil {
				return err
			}
			if next == 0 {
				return missing(s, Services(), service)
			}
		}
		revs, next, err = s.page(ctx, service, p, next)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return revs, next, nil
}

// page reads downward from number hi.
func (s *Store) page(ctx context.Context, service string, p Page, hi uint64) (revs []*ruedov1.Revision, next uint64, err error) {
	size, window := 0, 1 // the size of a revision is not known yet
	for range pageReads {
		lo := hi - min(hi-1, uint64(window-1))
		kvs, err := s.window(ctx, service, lo, hi)
		if err != nil {
			return nil, 0, err
		}
		for i := len(kvs) - 1; i >= 0; i-- {
			rev, err := decodeRevision(service, kvs[i])
			if err != nil {
				s.logger.Warn("a revision in the store cannot be read", "service", service, "revision", rev.GetNumber())
			}
			if len(revs) > 0 && (len(revs) == p.Items || size+len(kvs[i].Value) > p.Bytes) {
				return revs, rev.GetNumber(), nil
			}
			revs = append(revs, rev)
			size += len(kvs[i].Value)
		}
		if lo == 1 {
			return revs, 0, nil
		}
		hi = lo - 1
		// Not many more than fit the page.
		room := maxWindow
		if len(revs) > 0 {
			room = min(room, p.Items-len(revs)+1, max(p.Bytes-size, 0)/(size/len(revs)+1)+1)
		}
		window = min(2*window, room)
	}
	return revs, hi, nil
}

// window reads the revisions with numbers from lo to hi.
func (s *Store) window(ctx context.Context, service string, lo, hi uint64) ([]*mvccpb.KeyValue, error) {
	from, err := s.space.Revision(service, lo)
	if err != nil {
		return nil, err
	}
	to, err := s.space.Revision(service, hi)
	if err != nil {
		return nil, err
	}
	got, err := s.cluster.Get(ctx, from, clientv3.WithRange(to+"\x00"))
	if err != nil {
		return nil, err
	}
	return got.Kvs, nil
}

// latest returns the highest number of a stored revision, zero if there is
// none. It never asks for a range's last key: etcd would read all its values.
func (s *Store) latest(ctx context.Context, service string) (uint64, error) {
	count := func(n uint64, opts ...clientv3.OpOption) (bool, error) {
		key, err := s.space.Revision(service, n)
		if err != nil {
			return false, err
		}
		got, err := s.cluster.Get(ctx, key, append(opts, clientv3.WithCountOnly())...)
		if err != nil {
			return false, err
		}
		return got.Count > 0, nil
	}
	end, err := s.space.Revision(service, math.MaxUint64)
	if err != nil {
		return 0, err
	}
	exact := func(n uint64) (bool, error) { return count(n) }
	orLater := func(n uint64) (bool, error) { return count(n, clientv3.WithRange(end)) }
	n, err := highest(0, exact)
	if err != nil {
		return 0, err
	}
	if more, err := orLater(n + 1); err != nil || !more {
		return n, err
	}
	// The numbers have gaps, so every later key counts.
	return highest(n+1, orLater)
}

// highest returns the highest number that exists, low or above. Doubling finds
// one that does not, and halving the last one before it.
func highest(low uint64, there func(uint64) (bool, error)) (uint64, error) {
	const limit = 1 << 62
	high := low + 1
	for step := uint64(1); ; step *= 2 {
		ok, err := there(high)
		if err != nil {
			return 0, err
		}
		if !ok || high+step >= limit {
			break
		}
		low, high = high, high+step
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		ok, err := there(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

// revisionNotFound returns an error that says which revisions exist.
func (s *Store) revisionNotFound(ctx context.Context, service string, n uint64) error {
	last, err := s.latest(ctx, service)
	if err != nil {
		return err
	}
	if last == 0 {
		return missing(s, Services(), service)
	}
	prefix, err := s.space.Revisions(service)
	if err != nil {
		return err
	}
	got, err := s.cluster.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(1))
	if err != nil {
		return err
	}
	from := keys.Key{}
	if len(got.Kvs) > 0 {
		from, _ = keys.Parse(string(got.Kvs[0].Key))
	}
	return fault.New(fault.RevisionNotFound, "service %s has no revision %d: it has %d to %d", service, n, from.Number, last).
		With("service", service).WithFix("list the revisions of the service")
}

// decodeRevision decodes a revision. If it fails with INTEGRITY, the revision
// has only its number.
func decodeRevision(service string, kv *mvccpb.KeyValue) (*ruedov1.Revision, error) {
	k, _ := keys.Parse(string(kv.Key))
	rev := &ruedov1.Revision{}
	if err := proto.Unmarshal(kv.Value, rev); err != nil {
		return &ruedov1.Revision{Service: service, Number: k.Number}, unreadable(err, fmt.Sprintf("revision %d of service", k.Number), service, Services().Mend)
	}
	rev.Service, rev.Number = service, k.Number
	return rev, nil
}
