package fleet

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// DefaultTTL is how long the entry of a process that has died remains.
const DefaultTTL = 5 * time.Second

// DefaultOpTimeout bounds one operation on the store.
const DefaultOpTimeout = 2 * time.Second

// Membership is an entry in the store that lives as long as its holder. Its
// methods can be called from many goroutines.
type Membership struct {
	client *clientv3.Client
	key    string
	value  string
	ttl    time.Duration
	logger *slog.Logger

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	lease clientv3.LeaseID
}

// register puts value at key under a lease and keeps it there until Close. ctx
// bounds the first registration only; if the store refuses that, nothing is left
// behind and the error is a *fault.Error. A store that is full or does not answer
// is not a failure: the entry appears when it can be written. A ttl of zero means
// [DefaultTTL]; etcd counts in whole seconds. A nil logger discards all messages.
func register(ctx context.Context, client *clientv3.Client, key string, value []byte, ttl time.Duration, logger *slog.Logger) (*Membership, error) {
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	m := &Membership{client: client, key: key, value: string(value), ttl: ttl, logger: logger}
	if err := m.register(ctx); err != nil {
		err = TranslateError(ctx, err, "register "+key)
		if refused(err) || !errors.Is(err, fault.StoreFull) && !errors.Is(err, fault.StoreUnavailable) {
			return nil, err
		}
		logger.Warn("an entry is written to the store later", "key", key, "error", err)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	m.wg.Go(func() { m.run(run) })
	return m, nil
}

// registered returns the lease of the entry, if the entry is in the store.
func (m *Membership) registered() (clientv3.LeaseID, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lease, m.lease != clientv3.NoLease
}

// Close ends the membership and waits for it to end. If it returns nil, the
// entry is gone, unless another membership holds it. If it returns an error, the
// entry disappears when its lease runs out. Further calls do nothing.
func (m *Membership) Close(ctx context.Context) error {
	m.cancel()
	m.wg.Wait()
	m.mu.Lock()
	lease := m.lease
	m.lease = clientv3.NoLease
	m.mu.Unlock()
	if lease == clientv3.NoLease {
		return nil
	}
	opctx, cancel := context.WithTimeout(ctx, DefaultOpTimeout)
	defer cancel()
	_, err := m.client.Revoke(opctx, lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return TranslateError(ctx, err, "remove "+m.key)
}

// register writes the entry under a new lease.
func (m *Membership) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultOpTimeout)
	defer cancel()
	grant, err := m.client.Grant(ctx, int64((m.ttl+time.Second-1)/time.Second))
	if err != nil {
		return err
	}
	if _, err := m.client.Put(ctx, m.key, m.value, clientv3.WithLease(grant.ID)); err != nil {
		m.drop(grant.ID)
		return err
	}
	m.mu.Lock()
	old := m.lease
	m.lease = grant.ID
	m.mu.Unlock()
	// The old lease may still be alive, if only this process has lost track of
	// it. The entry already has the new one.
	if old != clientv3.NoLease {
		m.drop(old)
	}
	return nil
}

// drop revokes a lease that the entry no longer has. If that fails, the lease
// runs out on its own.
func (m *Membership) drop(lease clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(context.Background(), DefaultOpTimeout)
	defer cancel()
	_, _ = m.client.Revoke(ctx, lease)
}

// run maintains the entry and registers it again when its lease is lost.
func (m *Membership) run(ctx context.Context) {
	for {
		if lease, ok := m.registered(); ok {
			m.hold(ctx, lease)
			if ctx.Err() != nil {
				return
			}
			m.logger.Warn("lost the lease of an entry in the store; registering it again", "key", m.key)
		}
		var retry backoff.Backoff
		for {
			if retry.Wait(ctx) != nil {
				return
			}
			err := m.register(ctx)
			if err == nil {
				m.logger.Info("registered an entry in the store", "key", m.key)
				break
			}
			m.logger.Debug("cannot register an entry in the store yet", "key", m.key, "error", err)
		}
	}
}

// hold keeps a lease alive and the entry in the store until the lease is lost
// or ctx ends.
func (m *Membership) hold(ctx context.Context, lease clientv3.LeaseID) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	lost := make(chan struct{})
	wg.Go(func() {
		defer close(lost)
		m.keepAlive(ctx, lease)
	})
	look := time.NewTicker(m.ttl / 3)
	defer look.Stop()
	// A store may never answer the request for a watch, so nothing here waits for
	// it.
	started := make(chan clientv3.WatchChan, 1)
	start := func() {
		wg.Go(func() { started <- m.client.Watch(ctx, m.key, clientv3.WithFilterPut()) })
	}
	start()
	var removed clientv3.WatchChan
	for {
		select {
		case <-lost:
			return
		case removed = <-started:
			// Only now, so that no deletion is missed.
			if !m.ensure(ctx, lease) {
				return
			}
		case r, ok := <-removed:
			if !ok || r.Canceled {
				removed = nil
				select { // not immediately: a store that is away ends every watch
				case <-look.C:
				case <-lost:
					return
				}
				start()
				continue
			}
			if len(r.Events) > 0 && !m.ensure(ctx, lease) {
				return
			}
		case <-look.C:
			// In case the watch has missed a deletion.
			if !m.ensure(ctx, lease) {
				return
			}
		}
	}
}

// ensure restores the entry if it is gone, because another holder of the
// same key has left or somebody deleted it. It returns false if the lease is
// lost. Other problems of the store show up in the lease.
func (m *Membership) ensure(ctx context.Context, lease clientv3.LeaseID) bool {
	ctx, cancel := context.WithTimeout(ctx, DefaultOpTimeout)
	defer cancel()
	if got, err := m.client.Get(ctx, m.key, clientv3.WithCountOnly()); err != nil || got.Count > 0 {
		return true
	}
	_, err := m.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(m.key), "=", 0)).
		Then(clientv3.OpPut(m.key, m.value, clientv3.WithLease(lease))).
		Commit()
	return !errors.Is(err, rpctypes.ErrLeaseNotFound)
}

// keepAlive renews a lease until it is lost or ctx ends.
func (m *Membership) keepAlive(ctx context.Context, lease clientv3.LeaseID) {
	alive, err := m.client.KeepAlive(ctx, lease)
	if err != nil {
		// The client's own loop has stopped for good after an error that it
		// considered final. Single renewals still work.
		m.renew(ctx, lease)
		return
	}
	for range alive {
	}
}

// renew does what keepAlive does, with single requests.
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
