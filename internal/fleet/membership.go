package fleet

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// DefaultTTL is how long the entry of a process that died stays.
const DefaultTTL = 5 * time.Second

// opTimeout bounds one operation of ours on the store.
const opTimeout = 2 * time.Second

// Membership is an entry in the store that lives as long as its announcer.
// Its methods may be called from many goroutines.
type Membership struct {
	client *clientv3.Client
	key    string
	ttl    time.Duration
	logger *slog.Logger

	// kick tells the loop that the lease is known to be gone.
	kick   chan struct{}
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex // held across writes of the entry, so that values do not cross
	value []byte
	dirty bool // value is not in the store yet
	lease clientv3.LeaseID
}

// Announce puts value at key under a lease and keeps it there until Close.
// ctx bounds the first announcement alone; where that fails, nothing is left
// behind and the error is a *fault.Error. A store that is full is no failure:
// the entry appears when there is room again. A ttl of zero means [DefaultTTL];
// etcd counts in whole seconds. A nil logger discards.
func Announce(ctx context.Context, client *clientv3.Client, key string, value []byte, ttl time.Duration, logger *slog.Logger) (*Membership, error) {
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	m := &Membership{client: client, key: key, value: value, ttl: ttl, logger: logger, kick: make(chan struct{}, 1)}
	switch err := m.announce(ctx); {
	case errors.Is(err, rpctypes.ErrNoSpace):
		logger.Warn("the store is full: an entry appears in it when there is room again", "key", key)
	case err != nil:
		return nil, Fault(ctx, err, "announce "+key)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	m.wg.Go(func() { m.run(run) })
	return m, nil
}

// Update replaces the value. Where the store does not take it now, the error
// says so; it is written anyhow as soon as the store takes it.
func (m *Membership) Update(ctx context.Context, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.value, m.dirty = value, true
	opctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if m.lease == clientv3.NoLease {
		return Fault(ctx, rpctypes.ErrNoSpace, "update "+m.key) // not announced yet: the announcement brings the value
	}
	_, err := m.client.Put(opctx, m.key, string(value), clientv3.WithLease(m.lease))
	m.dirty = err != nil
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		select {
		case m.kick <- struct{}{}:
		default:
		}
		return nil
	}
	return Fault(ctx, err, "update "+m.key)
}

// Close ends the membership and waits for it to end. The entry is gone when it
// returns without an error, unless another announcer holds it; with an error
// it goes when its lease runs out. Further calls do nothing.
func (m *Membership) Close(ctx context.Context) error {
	m.cancel()
	m.wg.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease == clientv3.NoLease {
		return nil
	}
	opctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	_, err := m.client.Revoke(opctx, m.lease)
	m.lease = clientv3.NoLease
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return Fault(ctx, err, "remove "+m.key)
}

// announce puts the entry under a new lease.
func (m *Membership) announce(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	grant, err := m.client.Grant(ctx, int64((m.ttl+time.Second-1)/time.Second))
	if err != nil {
		return err
	}
	if _, err := m.client.Put(ctx, m.key, string(m.value), clientv3.WithLease(grant.ID)); err != nil {
		m.drop(grant.ID)
		return err
	}
	if m.lease != clientv3.NoLease {
		// It may live yet where only our side lost sight of it. The entry hangs
		// on the new lease by now.
		m.drop(m.lease)
	}
	m.lease, m.dirty = grant.ID, false
	return nil
}

// drop revokes a lease that nothing of ours hangs on. Where that fails it runs
// out by itself.
func (m *Membership) drop(lease clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	_, _ = m.client.Revoke(ctx, lease)
}

// run holds the entry and announces it again when its lease is lost.
func (m *Membership) run(ctx context.Context) {
	for {
		if m.announced() {
			m.hold(ctx)
			if ctx.Err() != nil {
				return
			}
			m.logger.Warn("lost the lease of an entry in the store; announcing it again", "key", m.key)
		}
		var retry Backoff
		for {
			if retry.Wait(ctx) != nil {
				return
			}
			err := m.announce(ctx)
			if err == nil {
				m.logger.Info("announced an entry in the store", "key", m.key)
				break
			}
			m.logger.Debug("cannot announce an entry in the store yet", "key", m.key, "error", err)
		}
	}
}

func (m *Membership) announced() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lease != clientv3.NoLease
}

// hold keeps the lease alive and the entry there until the lease is lost or
// ctx ends.
func (m *Membership) hold(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	m.mu.Lock()
	lease := m.lease
	m.mu.Unlock()
	lost := make(chan struct{})
	wg.Go(func() {
		defer close(lost)
		m.keepAlive(ctx, lease)
	})
	look := time.NewTicker(m.ttl / 3)
	defer look.Stop()
	var removed clientv3.WatchChan
	for {
		if removed == nil {
			// Watched from now on, so looked at after.
			removed = m.client.Watch(ctx, m.key, clientv3.WithFilterPut())
			if !m.ensure(ctx, lease) {
				return
			}
		}
		select {
		case <-lost:
			return
		case <-m.kick:
			return
		case r, ok := <-removed:
			if !ok || r.Canceled {
				removed = nil
				select { // not at once: a store that is away ends every watch
				case <-look.C:
				case <-lost:
					return
				}
				continue
			}
			if len(r.Events) > 0 && !m.ensure(ctx, lease) {
				return
			}
		case <-look.C:
			// The backstop for a deletion that the watch missed.
			if !m.ensure(ctx, lease) {
				return
			}
		}
	}
}

// ensure puts the entry back where it is gone, since another announcer of the
// same key has left or somebody deleted it, and writes a value that is still
// due. It gives false where the lease is lost. What else is wrong with the
// store shows in the lease.
func (m *Membership) ensure(ctx context.Context, lease clientv3.LeaseID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	put := clientv3.OpPut(m.key, string(m.value), clientv3.WithLease(lease))
	if m.dirty {
		_, err := m.client.Do(ctx, put)
		m.dirty = err != nil
		return !errors.Is(err, rpctypes.ErrLeaseNotFound)
	}
	if got, err := m.client.Get(ctx, m.key, clientv3.WithCountOnly()); err != nil || got.Count > 0 {
		return true
	}
	_, err := m.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(m.key), "=", 0)).
		Then(put).
		Commit()
	return !errors.Is(err, rpctypes.ErrLeaseNotFound)
}

// keepAlive renews a lease until it is lost or ctx ends.
func (m *Membership) keepAlive(ctx context.Context, lease clientv3.LeaseID) {
	alive, err := m.client.KeepAlive(ctx, lease)
	if err != nil {
		// The client's own loop has halted for good over an error that it took
		// for final; single renewals still work.
		m.renew(ctx, lease)
		return
	}
	for range alive {
	}
}

// renew is keepAlive by single requests.
func (m *Membership) renew(ctx context.Context, lease clientv3.LeaseID) {
	beat := time.NewTicker(m.ttl / 3)
	defer beat.Stop()
	for heard := time.Now(); time.Since(heard) < m.ttl; {
		began := time.Now()
		opctx, cancel := context.WithTimeout(ctx, m.ttl/3)
		_, err := m.client.KeepAliveOnce(opctx, lease)
		cancel()
		switch {
		case err == nil:
			heard = began
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
	}
}
