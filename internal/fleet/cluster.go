package fleet

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet/roster"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Config says which cluster of which etcd to open.
type Config struct {
	// Hosts of etcd, each "host:port". Required if Client is nil.
	Hosts []string
	// TLS for etcd; nil means none.
	TLS *tls.Config
	// Login to etcd.
	Login Login
	// Client is used instead of Hosts, and is not closed. The program passes in
	// the client of the embedded store this way.
	Client *clientv3.Client
	// Cluster is the cluster id. Required.
	Cluster string
	// Format is the storage format to read and write; zero means [Format].
	Format uint32
	// Check returns why a store in this process cannot write or does not answer;
	// its error takes the place of STORE_UNAVAILABLE. Nil knows nothing.
	Check func() error
	// Quota returns STORE_FULL if a store in this process should get no more data,
	// and STORE_NEARLY_FULL as a warning. Nil knows nothing.
	Quota func() error
	// OpTimeout bounds one operation, and a login; zero means [DefaultOpTimeout].
	OpTimeout time.Duration
	// Logger; nil discards.
	Logger *slog.Logger
}

// Cluster is the part of etcd that belongs to one cluster id. It owns the etcd
// client and never exposes it. Packages that store things use Get, Txn and
// Watch, and describe their writes with etcd's own package; all others use the
// methods that are named after what they do. Its methods can be called from
// many goroutines.
type Cluster struct {
	client  *clientv3.Client
	own     bool // the client is ours to close
	hosts   []string
	tls     *tls.Config
	space   keys.Space
	format  uint32
	check   func() error // never nil
	quota   func() error // never nil
	timeout time.Duration
	logger  *slog.Logger

	mu      sync.Mutex
	rosters map[scope]*roster.Roster
}

// Open connects to a cluster. It does not wait for an answer: the first
// operation finds out whether the store is there. It fails with CONFIG_INVALID.
func Open(cfg Config) (*Cluster, error) {
	space, err := keys.NewSpace(cfg.Cluster)
	if err != nil {
		return nil, err
	}
	c := &Cluster{client: cfg.Client, hosts: cfg.Hosts, tls: cfg.TLS, space: space, format: cmp.Or(cfg.Format, Format), check: cfg.Check, quota: cfg.Quota, timeout: cfg.OpTimeout, logger: cfg.Logger, rosters: make(map[scope]*roster.Roster)}
	if c.check == nil {
		c.check = func() error { return nil }
	}
	if c.quota == nil {
		c.quota = func() error { return nil }
	}
	if c.timeout <= 0 {
		c.timeout = DefaultOpTimeout
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.client == nil {
		if c.client, err = connect(cfg.Hosts, cfg.TLS, cfg.Login, c.timeout); err != nil {
			return nil, err
		}
		c.own = true
	}
	return c, nil
}

// Close ends the memberships that are still open, whose entries disappear when
// their lease runs out, and closes the connection, if Open made it. First close
// everything that uses the cluster.
func (c *Cluster) Close() {
	c.mu.Lock()
	rosters := c.rosters
	c.rosters = nil
	c.mu.Unlock()
	for _, r := range rosters {
		r.Abandon()
	}
	if c.own {
		_ = c.client.Close() // the only error is that it was already closed
	}
}

// Space returns the builder of the cluster's keys.
func (c *Cluster) Space() keys.Space { return c.space }

// Format returns the storage format that this process reads and writes.
func (c *Cluster) Format() uint32 { return c.format }

// Check returns why a store in this process cannot write; see [Config.Check].
func (c *Cluster) Check() error { return c.check() }

// Quota returns why a store in this process should get no more data, or a warning
// of that; see [Config.Quota].
func (c *Cluster) Quota() error { return c.quota() }

// Admit returns STORE_FULL if the quota of a store in this process is used up and
// the changes are more than deletions.
func (c *Cluster) Admit(ops []clientv3.Op) error {
	if slices.ContainsFunc(ops, clientv3.Op.IsPut) {
		if err := c.quota(); errors.Is(err, fault.StoreFull) {
			return err
		}
	}
	return nil
}

// Do runs one operation within OpTimeout and translates its error with [TranslateError].
// doing describes the operation, for example "write service greet".
func (c *Cluster) Do(ctx context.Context, doing string, op func(ctx context.Context) error) error {
	opctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.translate(ctx, op(opctx), doing)
}

// translate is [TranslateError], but knows more if the store is in this process.
func (c *Cluster) translate(ctx context.Context, err error, doing string) error {
	err = TranslateError(ctx, err, doing)
	if errors.Is(err, fault.StoreUnavailable) {
		return cmp.Or(c.check(), err)
	}
	return err
}

// Get reads keys. Call it within [Cluster.Do].
func (c *Cluster) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return c.client.Get(ctx, key, opts...)
}

// Txn begins a transaction. Call it within [Cluster.Do].
func (c *Cluster) Txn(ctx context.Context) clientv3.Txn { return c.client.Txn(ctx) }

// Grant makes a lease that ends after ttl, unless [Cluster.Revoke] ends it before.
// Call it within [Cluster.Do].
func (c *Cluster) Grant(ctx context.Context, ttl time.Duration) (clientv3.LeaseID, error) {
	grant, err := c.client.Grant(ctx, max(1, int64((ttl+time.Second-1)/time.Second)))
	if err != nil {
		return 0, err
	}
	return grant.ID, nil
}

// Watch watches keys until ctx ends or the watch breaks.
func (c *Cluster) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	return c.client.Watch(ctx, key, opts...)
}

// RequestProgress asks for the revision up to which the watches of ctx's stream
// have reported everything.
func (c *Cluster) RequestProgress(ctx context.Context) error { return c.client.RequestProgress(ctx) }

// RegisterCore lists a core until the membership is closed; see [Membership]. A
// ttl of zero means [DefaultTTL]. ctx bounds the first registration only. A store
// that is full or does not answer lists it later.
func (c *Cluster) RegisterCore(ctx context.Context, core *ruedov1.Core, ttl time.Duration) (*Membership, error) {
	return c.register(ctx, scope{c.space.Prefix(keys.KindCore), ttl}, keys.KindCore, core.GetId(), core)
}

// RegisterRunner lists a runner until the membership is closed, as
// [Cluster.RegisterCore] lists a core.
func (c *Cluster) RegisterRunner(ctx context.Context, runner *ruedov1.Runner, ttl time.Duration) (*Membership, error) {
	return c.register(ctx, scope{c.space.Prefix(keys.KindRunner), ttl}, keys.KindRunner, runner.GetId(), runner)
}

func (c *Cluster) register(ctx context.Context, at scope, kind keys.Kind, id string, member proto.Message) (*Membership, error) {
	key, err := c.space.Key(kind, id)
	if err != nil {
		return nil, err
	}
	value, err := proto.Marshal(member)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot encode %s %s", kind, id)
	}
	for {
		r := c.roster(at)
		if r == nil {
			return nil, fault.New(fault.StoreUnavailable, "cannot register %s %s: the connection to the store is closed", kind, id)
		}
		m, err := r.Add(ctx, key, string(value))
		if err == nil {
			return &Membership{key, m}, nil
		}
		if !errors.Is(err, roster.ErrEnded) {
			return nil, err
		}
	}
}

// scope is what the entries of a roster have in common.
type scope struct {
	prefix string
	ttl    time.Duration
}

// roster returns the roster of a scope, a new one if the last one has ended; nil
// after Close.
func (c *Cluster) roster(at scope) *roster.Roster {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rosters == nil {
		return nil
	}
	r := c.rosters[at]
	if r == nil || r.Ended() {
		ttl := at.ttl
		if ttl <= 0 {
			ttl = DefaultTTL
		}
		r = roster.New(roster.Config{
			Client: c.client, Prefix: at.prefix, TTL: ttl, Timeout: DefaultOpTimeout, Refusal: refusal, Logger: c.logger,
		})
		c.rosters[at] = r
	}
	return r
}
