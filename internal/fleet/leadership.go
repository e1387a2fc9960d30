package fleet

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Fence ties a write to a leadership: a transaction with the condition
// [Fence.Held] writes nothing once that leadership is over, however late it
// arrives. The zero Fence is never held.
type Fence struct {
	key  string
	term int64
}

// Held is the condition that the leadership lasts.
func (f Fence) Held() clientv3.Cmp {
	if f.term == 0 {
		return clientv3.Compare(clientv3.Version(f.lookAt()), "<", 0)
	}
	return clientv3.Compare(clientv3.CreateRevision(f.key), "=", f.term)
}

// Look reads what [Fence.Check] needs, in a transaction whose conditions do not
// hold.
func (f Fence) Look() clientv3.Op { return clientv3.OpGet(f.lookAt(), clientv3.WithKeysOnly()) }

// lookAt returns the key of the leadership; for the zero Fence, one that does
// not exist.
func (f Fence) lookAt() string {
	if f.key == "" {
		return "no leadership"
	}
	return f.key
}

// Check returns LEADERSHIP_LOST unless what Look has read is the fence's
// leadership.
func (f Fence) Check(looked []*mvccpb.KeyValue) error {
	if f.term != 0 && len(looked) > 0 && looked[0].CreateRevision == f.term {
		return nil
	}
	return fault.New(fault.LeadershipLost, "this core does not lead the cluster any more; nothing was written").
		WithFix("see which core leads, and try again there")
}

// Why a leadership has ended, as the cause of its context.
var (
	errResigned = errors.New("the core has resigned")
	errExpired  = errors.New("the store has not answered for as long as a leadership lasts")
	errRevoked  = errors.New("the store has ended the leadership")
)

// Leadership is that of the whole cluster, held by this process. Its methods can
// be called from many goroutines.
//
// It lasts while its lease is renewed. By this process's own clock it ends
// before the store can give it to another one, because that clock starts when a
// renewal is sent.
type Leadership struct {
	cluster *Cluster
	fence   Fence
	lease   clientv3.LeaseID
	ttl     time.Duration

	ctx    context.Context
	cancel context.CancelCauseFunc
	expiry *time.Timer
	wg     sync.WaitGroup

	mu       sync.Mutex
	deadline time.Time
}

// Campaign tries once to make this process the leader, and returns nil without
// an error if there is one already. The value of l says who leads; a ttl of
// zero means [DefaultTTL]. An order of [Cluster.Handover] is carried out with
// the election. The leadership must be ended with Resign.
func (c *Cluster) Campaign(ctx context.Context, l *ruedov1.Leader, ttl time.Duration) (*Leadership, error) {
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	value, err := proto.Marshal(l)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot encode the leader")
	}
	var lease clientv3.LeaseID
	began := time.Now()
	err = c.Do(ctx, "campaign for the leadership", func(ctx context.Context) (err error) {
		lease, err = c.Grant(ctx, ttl)
		return err
	})
	if err != nil {
		return nil, err
	}
	key := c.space.Leader()
	var done *clientv3.TxnResponse
	err = c.Do(ctx, "campaign for the leadership", func(ctx context.Context) (err error) {
		done, err = c.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, string(value), clientv3.WithLease(lease)), clientv3.OpDelete(c.space.Handover())).
			Commit()
		return err
	})
	if err != nil || !done.Succeeded {
		// After an error the election may have succeeded all the same; it ends
		// with its lease.
		c.Revoke(context.WithoutCancel(ctx), lease)
		return nil, err
	}
	held := &Leadership{cluster: c, fence: Fence{key, done.Header.Revision}, lease: lease, ttl: ttl}
	held.ctx, held.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	held.deadline = began.Add(ttl)
	held.expiry = time.AfterFunc(time.Until(held.deadline), func() { held.cancel(errExpired) })
	held.wg.Go(held.renew)
	return held, nil
}

// Revoke ends a lease. If it cannot, the lease runs out on its own.
func (c *Cluster) Revoke(ctx context.Context, lease clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, _ = c.client.Revoke(ctx, lease)
}

// Context ends when the leadership is over, or may be.
func (l *Leadership) Context() context.Context { return l.ctx }

// Fence returns the fence that every write of the leader needs.
func (l *Leadership) Fence() Fence { return l.fence }

// Term numbers leaderships: each is higher than those before it. It is the
// store's revision of the election.
func (l *Leadership) Term() int64 { return l.fence.term }

// Held reports whether the leadership certainly lasts, by this process's clock.
// It is right even before Context ends, for example when the process has just
// been continued.
func (l *Leadership) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx.Err() == nil && time.Now().Before(l.deadline)
}

// Lose ends the context, because the leadership is known to be over. Resign must
// still be called.
func (l *Leadership) Lose(why string) { l.cancel(errors.New(why)) }

// renew renews the lease until the leadership ends.
func (l *Leadership) renew() {
	beat := time.NewTicker(l.ttl / 3)
	defer beat.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-beat.C:
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(l.ctx, l.ttl/3)
		_, err := l.cluster.client.KeepAliveOnce(ctx, l.lease)
		cancel()
		switch {
		case err == nil:
			l.extend(began.Add(l.ttl))
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			l.cancel(errRevoked)
			return
		}
	}
}

func (l *Leadership) extend(deadline time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A renewal cannot bring back what has expired: jobs have been told to stop.
	if l.ctx.Err() == nil && time.Now().Before(l.deadline) {
		l.deadline = deadline
		l.expiry.Reset(time.Until(deadline))
	}
}

// Resign ends the leadership, so that another process can be elected
// immediately, and waits for what renews it. If it returns an error, the
// leadership ends when its lease runs out. Further calls do nothing.
func (l *Leadership) Resign(ctx context.Context) error {
	held := l.Held()
	l.cancel(errResigned)
	l.expiry.Stop()
	l.wg.Wait()
	if !held || l.cluster.Check() != nil {
		return nil // the lease runs out, or has; nothing must be written to a full disk
	}
	err := l.cluster.Do(ctx, "resign", func(ctx context.Context) error {
		_, err := l.cluster.Txn(ctx).If(l.fence.Held()).Then(clientv3.OpDelete(l.fence.key)).Commit()
		return err
	})
	if err == nil {
		l.cluster.Revoke(ctx, l.lease)
	}
	return err
}
