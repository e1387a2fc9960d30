// Package roster keeps entries of a process in the store for as long as it lives.
//
// The entries of a [Roster] share a lease and a watch, so a core with a thousand
// runners has one of each. While their holder lives, they come back: after the
// store was away, after the lease was lost, and after somebody removed them.
package roster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
)

const (
	// lookEvery is the longest time between two looks at the entries.
	lookEvery = 2 * time.Second
	// lookAt is how many entries are looked at in one request; etcd's own limit is
	// 128.
	lookAt = 100
	// writers is how many entries are written at the same time.
	writers = 16
)

// Config of a roster. All of it is required.
type Config struct {
	Client *clientv3.Client
	// Prefix is what all keys begin with.
	Prefix string
	// TTL is how long the entries of a process that has died remain. etcd counts in
	// whole seconds.
	TTL time.Duration
	// Timeout bounds one operation on the store.
	Timeout time.Duration
	// Refusal returns the error that a failure to write a key means; nil if the entry
	// is to be written later.
	Refusal func(ctx context.Context, key string, err error) error
	Logger  *slog.Logger
}

// Roster is entries of one process. Its methods can be called from many
// goroutines. The last member that leaves ends it.
type Roster struct {
	Config

	ctx     context.Context // ends with the roster
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	grants  singleflight.Group
	granted chan struct{} // has a value when there is a lease that nobody renews

	mu      sync.Mutex
	ended   bool // it accepts no more members
	members int
	entries map[string]*entry
	lease   clientv3.LeaseID // NoLease: there is none now
}

// entry is a key with its members. The value in the store is that of the newest.
type entry struct {
	key     string
	writing sync.Mutex // around each write of the key

	// Guarded by Roster.mu.
	members []*Member
	lease   clientv3.LeaseID // under which it was written; NoLease: it was not
	tried   clientv3.LeaseID // under which it may have been written
}

// New returns a roster without members.
func New(cfg Config) *Roster {
	r := &Roster{Config: cfg, granted: make(chan struct{}, 1), entries: make(map[string]*entry)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(r.run)
	return r
}

// ErrEnded says that a roster accepts no more members.
var ErrEnded = errors.New("the roster has ended")

// Add puts value at key and keeps it there until the member leaves. ctx bounds the
// first write only; if that fails, nothing is left behind, unless Refusal says that
// the entry is to be written later. The error is that of Refusal, or [ErrEnded].
func (r *Roster) Add(ctx context.Context, key, value string) (*Member, error) {
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return nil, ErrEnded
	}
	e := r.entries[key]
	if e == nil {
		e = &entry{key: key}
		r.entries[key] = e
	}
	m := &Member{roster: r, entry: e, value: value}
	e.members = append(e.members, m)
	r.members++
	r.mu.Unlock()

	opctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	err := r.enter(opctx, e)
	if err == nil {
		return m, nil
	}
	if refusal := r.Refusal(ctx, key, err); refusal != nil {
		_ = m.Leave(context.WithoutCancel(ctx)) // what may have been written has a lease
		return nil, refusal
	}
	r.Logger.Warn("an entry is written to the store later", "key", key, "error", err)
	return m, nil
}

// enter writes an entry, and gets a lease for it if there is none or it has run
// out.
func (r *Roster) enter(ctx context.Context, e *entry) (err error) {
	for range 2 {
		var lease clientv3.LeaseID
		if lease, err = r.grant(); err != nil {
			return err
		}
		if err = r.write(ctx, e, false); !lost(err) {
			return err
		}
		r.lose(lease)
	}
	return err
}

// lost reports whether an error says that a lease is not there any more.
func lost(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) }

// grant returns the lease. If there is none, it gets one.
func (r *Roster) grant() (clientv3.LeaseID, error) {
	if lease := r.held(); lease != clientv3.NoLease {
		return lease, nil
	}
	lease, err, _ := r.grants.Do("", func() (any, error) {
		if lease := r.held(); lease != clientv3.NoLease {
			return lease, nil
		}
		ctx, cancel := context.WithTimeout(r.ctx, r.Timeout)
		defer cancel()
		got, err := r.Client.Grant(ctx, int64((r.TTL+time.Second-1)/time.Second))
		if err != nil {
			return clientv3.NoLease, err
		}
		r.mu.Lock()
		r.lease = got.ID
		r.mu.Unlock()
		select {
		case r.granted <- struct{}{}:
		default: // another lease was lost before anybody renewed it
		}
		return got.ID, nil
	})
	return lease.(clientv3.LeaseID), err
}

// held returns the lease, if there is one.
func (r *Roster) held() clientv3.LeaseID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lease
}

// lose forgets a lease that has run out.
func (r *Roster) lose(lease clientv3.LeaseID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lease == lease {
		r.lease = clientv3.NoLease
	}
}

// write makes the store show what an entry is: its value under the lease, or
// nothing if it has no members any more. What another process has written at the
// key meanwhile is not removed; it is replaced unless missing says that the entry
// is written only if there is nothing.
func (r *Roster) write(ctx context.Context, e *entry, missing bool) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	r.mu.Lock()
	var value string
	wanted, lease, tried := len(e.members) > 0, r.lease, e.tried
	if wanted {
		value, e.tried = e.members[len(e.members)-1].value, lease
	}
	r.mu.Unlock()
	var err error
	switch {
	case !wanted && tried != clientv3.NoLease:
		_, err = r.Client.Txn(ctx).If(clientv3.Compare(clientv3.LeaseValue(e.key), "=", tried)).Then(clientv3.OpDelete(e.key)).Commit()
	case !wanted:
	case lease == clientv3.NoLease: // an entry without a lease would stay forever
		err = rpctypes.ErrLeaseNotFound
	case missing:
		_, err = r.Client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(e.key), "=", 0)).Then(clientv3.OpPut(e.key, value, clientv3.WithLease(lease))).Commit()
	default:
		_, err = r.Client.Put(ctx, e.key, value, clientv3.WithLease(lease))
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if wanted {
		e.lease = lease
		return nil
	}
	e.lease, e.tried = clientv3.NoLease, clientv3.NoLease
	if len(e.members) == 0 {
		delete(r.entries, e.key)
	}
	return nil
}

// remove ends a member. The last one ends the roster.
func (r *Roster) remove(ctx context.Context, m *Member) error {
	r.mu.Lock()
	if m.closed {
		r.mu.Unlock()
		return nil
	}
	m.closed = true
	m.entry.members = slices.DeleteFunc(m.entry.members, func(o *Member) bool { return o == m })
	r.members--
	r.ended = r.ended || r.members == 0
	last := r.members == 0
	r.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	if !last {
		return r.write(ctx, m.entry, false)
	}
	r.Abandon()
	if lease := r.held(); lease != clientv3.NoLease {
		if _, err := r.Client.Revoke(ctx, lease); !lost(err) {
			return err
		}
	}
	return nil
}

// Ended reports whether the roster accepts no more members.
func (r *Roster) Ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// Abandon ends the roster. Its entries disappear when their lease runs out.
func (r *Roster) Abandon() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}

// run maintains the entries until the roster ends.
func (r *Roster) run() {
	look := time.NewTicker(min(r.TTL/3, lookEvery))
	defer look.Stop()
	var lease clientv3.LeaseID
	var gone chan struct{} // closed when the lease has run out
	var removed clientv3.WatchChan
	watching := r.watch()
	for {
		select {
		case <-r.granted:
			id, ended := r.held(), make(chan struct{})
			lease, gone = id, ended
			r.wg.Go(func() {
				defer close(ended)
				r.keepAlive(r.ctx, id) // returns immediately if it is lost already
			})
		case removed = <-watching:
			watching = nil
			r.tend() // what was deleted before
		case got, ok := <-removed:
			if !ok || got.Canceled {
				removed = nil // a store that is away ends every watch
				continue
			}
			r.restore(got.Events)
		case <-gone:
			gone = nil
			if r.ctx.Err() != nil {
				return
			}
			r.Logger.Warn("lost the lease of the entries in the store; registering them again")
			r.lose(lease)
			r.tend()
			r.drop(lease)
		case <-look.C:
			if removed == nil && watching == nil {
				watching = r.watch()
			}
			r.tend()
		case <-r.ctx.Done():
			return
		}
	}
}

// watch asks for the deletions under the prefix. A store may never answer that, so
// nothing waits for it.
func (r *Roster) watch() chan clientv3.WatchChan {
	started := make(chan clientv3.WatchChan, 1)
	r.wg.Go(func() { started <- r.Client.Watch(r.ctx, r.Prefix, clientv3.WithPrefix(), clientv3.WithFilterPut()) })
	return started
}

// restore writes the entries that were deleted, because another holder of the same
// key has left or somebody removed them.
func (r *Roster) restore(deletions []*clientv3.Event) {
	var missing []*entry
	r.mu.Lock()
	for _, d := range deletions {
		if e := r.entries[string(d.Kv.Key)]; e != nil && len(e.members) > 0 && e.lease != clientv3.NoLease && e.lease == r.lease {
			missing = append(missing, e)
		}
	}
	r.mu.Unlock()
	if err := r.writeAll(missing, true); err != nil { // the next look finds them
		r.Logger.Debug("cannot register entries in the store yet", "error", err)
	}
}

// drop revokes a lease that entries no longer have. It may still be alive, if only
// this process has lost track of it. If that fails, it runs out on its own.
func (r *Roster) drop(lease clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(r.ctx, r.Timeout)
	defer cancel()
	_, _ = r.Client.Revoke(ctx, lease)
}

// tend writes the entries that the store lacks: they could not be written yet, the
// lease was lost, or the watch has missed a deletion. It removes those that could
// not be removed when their members left. What goes wrong is tried again at the
// next look.
func (r *Roster) tend() {
	r.mu.Lock()
	idle := len(r.entries) == 0
	r.mu.Unlock()
	if idle {
		return
	}
	lease, err := r.grant()
	if err != nil {
		r.Logger.Debug("cannot register entries in the store yet", "error", err)
		return
	}
	var written, unwritten []*entry // under this lease
	r.mu.Lock()
	for _, e := range r.entries {
		if e.lease == lease && len(e.members) > 0 {
			written = append(written, e)
		} else {
			unwritten = append(unwritten, e)
		}
	}
	r.mu.Unlock()
	if err = r.tendTo(written, unwritten); err != nil {
		r.Logger.Debug("cannot register entries in the store yet", "error", err)
	}
	if lost(err) {
		r.lose(lease)
	}
}

func (r *Roster) tendTo(written, unwritten []*entry) error {
	if err := r.writeAll(unwritten, false); err != nil {
		return err
	}
	if len(unwritten) > 0 {
		r.Logger.Info("brought entries in the store up to date", "entries", len(unwritten))
	}
	for part := range slices.Chunk(written, lookAt) {
		missing, err := r.missing(part)
		if err != nil {
			return err
		}
		if err := r.writeAll(missing, true); err != nil {
			return err
		}
	}
	return nil
}

// writeAll writes entries, several at the same time.
func (r *Roster) writeAll(entries []*entry, missing bool) error {
	g, ctx := errgroup.WithContext(r.ctx)
	g.SetLimit(writers)
	for _, e := range entries {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, r.Timeout)
			defer cancel()
			return r.write(ctx, e, missing)
		})
	}
	return g.Wait()
}

// missing returns the entries that are not in the store, as the nearest member of
// the store knows: a guarded write follows.
func (r *Roster) missing(entries []*entry) (missing []*entry, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.Timeout)
	defer cancel()
	var gets []clientv3.Op
	for _, e := range entries {
		gets = append(gets, clientv3.OpGet(e.key, clientv3.WithCountOnly(), clientv3.WithSerializable()))
	}
	got, err := r.Client.Txn(ctx).Then(gets...).Commit()
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if got.Responses[i].GetResponseRange().GetCount() == 0 {
			missing = append(missing, e)
		}
	}
	return missing, nil
}

// keepAlive renews a lease until it is lost or ctx ends.
func (r *Roster) keepAlive(ctx context.Context, lease clientv3.LeaseID) {
	alive, err := r.Client.KeepAlive(ctx, lease)
	if err != nil {
		// The client's own loop has stopped for good after an error that it
		// considered final. Single renewals still work.
		r.renew(ctx, lease)
		return
	}
	for range alive {
	}
}

// renew does what keepAlive does, with single requests.
func (r *Roster) renew(ctx context.Context, lease clientv3.LeaseID) {
	beat := time.NewTicker(r.TTL / 3)
	defer beat.Stop()
	for heard := time.Now(); time.Since(heard) < r.TTL; {
		began := time.Now()
		opctx, cancel := context.WithTimeout(ctx, r.TTL/3)
		_, err := r.Client.KeepAliveOnce(opctx, lease)
		cancel()
		switch {
		case err == nil:
			heard = began
		case lost(err):
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
	}
}
