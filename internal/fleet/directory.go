package fleet

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// DirectoryConfig says which cluster to open a directory of.
type DirectoryConfig struct {
	// Hosts of etcd, each "host:port". At least one.
	Hosts []string
	// TLS for etcd; nil means none.
	TLS *tls.Config
	// Login to etcd.
	Login Login
	// Cluster is the cluster id.
	Cluster string
	// TTL is how long a registration outlives its process; zero means
	// [DefaultTTL].
	TTL time.Duration
	// Logger; nil discards.
	Logger *slog.Logger
}

// relistEvery bounds how long the set of cores may be wrong after a store was
// replaced by an older copy of itself, which a watch does not report.
const relistEvery = 30 * time.Second

// Directory is a runner's view of the store: where the cores are, and its own
// registration. Its methods can be called from many goroutines.
type Directory struct {
	cluster *Cluster
	ttl     time.Duration
	logger  *slog.Logger

	ctx    context.Context // of everything that is started here; cancelled by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Dial connects to the store. It fails with STORE_UNAVAILABLE, which names the
// hosts, if the store does not answer within ctx or 2 s; or with STORE_FORMAT
// or CONFIG_INVALID.
func Dial(ctx context.Context, cfg DirectoryConfig) (*Directory, error) {
	c, err := Open(Config{Hosts: cfg.Hosts, TLS: cfg.TLS, Login: cfg.Login, Cluster: cfg.Cluster, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	if _, err := c.CheckFormat(ctx); err != nil {
		c.Close()
		return nil, err
	}
	d := &Directory{cluster: c, ttl: cfg.TTL, logger: c.logger}
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return d, nil
}

// Cores sends the cores of the cluster, sorted by id: the current ones first,
// then all of them again after each change. A slow receiver gets the latest
// set. Receivers must not change what they receive. The channel is closed when
// ctx ends or the directory is closed.
func (d *Directory) Cores(ctx context.Context) <-chan []*ruedov1.Core {
	out := make(chan []*ruedov1.Core)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(d.ctx, cancel)
	d.wg.Go(func() {
		defer close(out)
		defer cancel()
		defer stop()
		var retry backoff.Backoff
		var sent []*ruedov1.Core // nil before the first set is sent
		for ctx.Err() == nil {
			if d.follow(ctx, out, &sent) {
				retry.Reset()
			}
			// After a compaction, or if the store is away, list again.
			_ = retry.Wait(ctx)
		}
	})
	return out
}

// follow lists the cores and watches them until the watch breaks or it is time
// to list again. It reports whether the initial
// list succeeded.
func (d *Directory) follow(ctx context.Context, out chan<- []*ruedov1.Core, sent *[]*ruedov1.Core) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opctx, done := context.WithTimeout(ctx, DefaultOpTimeout)
	got, err := d.cluster.Get(opctx, d.cluster.space.Prefix(keys.KindCore), clientv3.WithPrefix())
	done()
	if err != nil {
		d.logger.Debug("cannot list the cores yet", "error", err)
		return false
	}
	cores := map[string]*ruedov1.Core{}
	for _, kv := range got.Kvs {
		d.put(cores, string(kv.Key), kv.Value)
	}
	watch := d.cluster.Watch(clientv3.WithRequireLeader(ctx), d.cluster.space.Prefix(keys.KindCore), clientv3.WithPrefix(), clientv3.WithRev(got.Header.Revision+1))
	relist := time.NewTimer(relistEvery)
	defer relist.Stop()
	send, set := out, sorted(cores)
	if *sent != nil && slices.EqualFunc(set, *sent, same) {
		send = nil
	}
	for {
		select {
		case send <- set:
			*sent, send = set, nil // until there is a change
		case <-relist.C:
			return true
		case r, ok := <-watch:
			if !ok || r.Err() != nil {
				return true
			}
			for _, e := range r.Events {
				if e.Type == clientv3.EventTypeDelete {
					delete(cores, string(e.Kv.Key))
					continue
				}
				d.put(cores, string(e.Kv.Key), e.Kv.Value)
			}
			if len(r.Events) > 0 {
				send, set = out, sorted(cores)
			}
		case <-ctx.Done():
			return true
		}
	}
}

func (d *Directory) put(cores map[string]*ruedov1.Core, key string, value []byte) {
	k, ok := d.cluster.space.Parse(key)
	core := &ruedov1.Core{}
	if !ok || proto.Unmarshal(value, core) != nil {
		d.logger.Warn("an entry in the store is not a core", "key", keys.Quote(key))
		delete(cores, key)
		return
	}
	core.Id = k.Name
	cores[key] = core
}

func same(a, b *ruedov1.Core) bool { return proto.Equal(a, b) }

// sorted returns the cores sorted by id. The slice is never nil.
func sorted(cores map[string]*ruedov1.Core) []*ruedov1.Core {
	set := make([]*ruedov1.Core, 0, len(cores))
	for _, key := range slices.Sorted(maps.Keys(cores)) {
		set = append(set, cores[key])
	}
	return set
}

// Register enters a runner under a lease and keeps it there until leave is
// called, which removes it immediately. ctx bounds the first registration only.
func (d *Directory) Register(ctx context.Context, r *ruedov1.Runner) (leave func(context.Context) error, err error) {
	key, err := d.cluster.space.Key(keys.KindRunner, r.GetId())
	if err != nil {
		return nil, err
	}
	// It watches its own key, not those of all runners.
	m, err := d.cluster.register(ctx, scope{key, d.ttl}, keys.KindRunner, r.GetId(), r)
	if err != nil {
		return nil, err
	}
	if m.member.Registered() {
		d.logger.Info("registered runner with etcd database", "id", r.GetId(), "cluster", d.cluster.space.Cluster())
	}
	return m.Close, nil
}

// Close closes every channel, ends every registration whose leave was not
// called, and waits for them. Those registrations disappear when their lease
// runs out.
func (d *Directory) Close() error {
	d.cancel()
	d.wg.Wait()
	d.cluster.Close()
	return nil
}
