// Package history reads numbered values in etcd: the revisions of a service or
// of a decorator.
//
//	l := history.List{Store: cluster, Key: func(n uint64) (string, error) { return space.Revision("greet", n) }}
//	latest, err := l.Latest(ctx)
//	kvs, next, err := l.Page(ctx, history.Page{From: latest, Items: 100, Bytes: 1 << 20})
//
// It reads windows of numbers, because etcd would look through all values for a
// read that has a limit but no end. Numbers may have gaps.
package history

import (
	"context"
	"math"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/internal/keys"
)

const (
	// maxWindow is how many numbers one read of a page covers.
	maxWindow = 128
	// pageReads bounds the reads of one page.
	pageReads = 64
)

// Page says which part of a list to return.
type Page struct {
	// From is the highest number to return; zero means the newest.
	From uint64
	// Items and Bytes bound the page. A page has at least one item, however
	// large the item is.
	Items, Bytes int
}

// List is the numbered values of one name. Its methods can be called from many
// goroutines.
type List struct {
	// Store reads from etcd.
	Store interface {
		Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error)
	}
	// Key returns the key of a number. Keys sort as their numbers do.
	Key func(n uint64) (string, error)
	// At is the revision of the store as of which to read; zero means now, for each
	// read.
	At int64
}

// Page reads downward from p.From, which must not be zero. next is the next
// page's From, or zero.
func (l List) Page(ctx context.Context, p Page) (kvs []*mvccpb.KeyValue, next uint64, err error) {
	hi, size, window := p.From, 0, 1 // the size of a value is not known yet
	for range pageReads {
		lo := hi - min(hi-1, uint64(window-1))
		found, err := l.window(ctx, lo, hi)
		if err != nil {
			return nil, 0, err
		}
		for i := len(found) - 1; i >= 0; i-- {
			if len(kvs) > 0 && (len(kvs) == p.Items || size+len(found[i].Value) > p.Bytes) {
				k, _ := keys.Parse(string(found[i].Key))
				return kvs, k.Number, nil
			}
			kvs = append(kvs, found[i])
			size += len(found[i].Value)
		}
		if lo == 1 {
			return kvs, 0, nil
		}
		hi = lo - 1
		// Not many more than fit the page.
		room := maxWindow
		if len(kvs) > 0 {
			room = min(room, p.Items-len(kvs)+1, max(p.Bytes-size, 0)/(size/len(kvs)+1)+1)
		}
		window = min(2*window, room)
	}
	return kvs, hi, nil
}

// window reads the values with numbers from lo to hi.
func (l List) window(ctx context.Context, lo, hi uint64) ([]*mvccpb.KeyValue, error) {
	from, err := l.Key(lo)
	if err != nil {
		return nil, err
	}
	to, err := l.Key(hi)
	if err != nil {
		return nil, err
	}
	got, err := l.Store.Get(ctx, from, clientv3.WithRange(to+"\x00"), clientv3.WithRev(l.At))
	if err != nil {
		return nil, err
	}
	return got.Kvs, nil
}

// Latest returns the highest number, zero if there is none. It never asks for a
// range's last key: etcd would read all its values.
func (l List) Latest(ctx context.Context) (uint64, error) {
	count := func(n uint64, opts ...clientv3.OpOption) (bool, error) {
		key, err := l.Key(n)
		if err != nil {
			return false, err
		}
		got, err := l.Store.Get(ctx, key, append(opts, clientv3.WithCountOnly(), clientv3.WithRev(l.At))...)
		if err != nil {
			return false, err
		}
		return got.Count > 0, nil
	}
	end, err := l.Key(math.MaxUint64)
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

// First returns the lowest number, zero if there is none.
func (l List) First(ctx context.Context) (uint64, error) {
	from, err := l.Key(0)
	if err != nil {
		return 0, err
	}
	end, err := l.Key(math.MaxUint64)
	if err != nil {
		return 0, err
	}
	got, err := l.Store.Get(ctx, from, clientv3.WithRange(end), clientv3.WithKeysOnly(), clientv3.WithLimit(1), clientv3.WithRev(l.At))
	if err != nil || len(got.Kvs) == 0 {
		return 0, err
	}
	k, _ := keys.Parse(string(got.Kvs[0].Key))
	return k.Number, nil
}

// highest returns the highest number that exists, low or above. Doubling finds
// one that does not, and halving the last one before it.
func highest(low uint64, there func(uint64) (bool, error)) (uint64, error) {
	const most = 1 << 62
	high := low + 1
	for step := uint64(1); ; step *= 2 {
		ok, err := there(high)
		if err != nil {
			return 0, err
		}
		if !ok || high+step >= most {
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
