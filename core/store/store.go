// Package store is the catalog of a cluster on etcd: services with their
// revisions, decorators, modules; and the mirror of it in memory.
//
// Begin with [Open], then [OpenMirror]:
//
//	s, err := store.Open(ctx, store.Config{Hosts: hosts, Cluster: "main"})
//	m, err := store.OpenMirror(ctx, s)
//	m.Snapshot().Services["greet"]
//
// # Reads
//
// A [Store] reads from etcd, linearizably. A [Mirror] is fed by watch and reads
// from memory, also while the store is away; see there.
//
// # Writes
//
// Each is one transaction, guarded by the version that the caller has seen: all
// or nothing, and durable when it returns. A lost race is CONFLICT. The version
// of what was written is the store's revision; [Mirror.Wait] with it makes the
// mirror's reader see the write.
//
// A write that the store does not answer is STORE_UNAVAILABLE within
// [Config.OpTimeout]. That says nothing of whether the change was made: read
// before writing again. A caller's own cancel or deadline is given back as it
// is.
//
// A write is refused with STORE_EMPTY while the store has lost what memory
// holds, with STORE_FORMAT once a newer ruedo has taken the store over, with
// STORE_FULL while there is no room, and with DATA_DIR_LOST when the files of
// the embedded store are gone. Reads and calls go on; see [Mirror.Alarms].
//
// # Modules
//
// A module is cut into chunks, and its manifest is written last: a module
// without a manifest is not there, so an upload that broke off shows nowhere
// and may be repeated. The bytes are verified against the digest on every read.
//
// # Clusters
//
// A Store sees the keys of its own cluster id and of no other.
//
// # Concurrency
//
// All methods of Store and Mirror may be called from many goroutines. What a
// Mirror gives is shared and not to be changed.
package store

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/klauspost/compress/zstd"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Defaults of Config.
const (
	DefaultMaxModule = 32 << 20
	DefaultOpTimeout = 2 * time.Second
)

// Config says where the store is.
type Config struct {
	// Hosts of etcd, each "host:port". Needed where Client is nil.
	Hosts []string
	// TLS for etcd; nil means none.
	TLS *tls.Config
	// Client is used in place of hosts, and not closed.
	Client *clientv3.Client
	// Cluster is the cluster id.
	Cluster string
	// MaxModule is the size of the largest module, in bytes; zero means
	// [DefaultMaxModule].
	MaxModule int64
	// OpTimeout bounds one operation; zero means [DefaultOpTimeout].
	OpTimeout time.Duration
	// Check returns an error while the store's files are gone, so that nothing
	// is acknowledged that will not last: see etcdembed's Server.Check. It is
	// called before and after each write. Nil checks nothing.
	Check func() error
	// AcceptEmpty takes a store that has lost its catalog for what it is.
	// Otherwise memory is kept, and writes are STORE_EMPTY.
	AcceptEmpty bool
	// Logger; nil discards.
	Logger *slog.Logger
}

// Store reads and writes the catalog of one cluster.
type Store struct {
	client    *clientv3.Client
	own       bool // the client is ours to close
	space     keys.Space
	maxModule int64
	timeout   time.Duration
	logger    *slog.Logger
	check     func() error
	accept    bool // a store that is empty
	guard     guard
	damaged   damage
	pack      *zstd.Encoder
	unpack    *zstd.Decoder
}

// Open connects to the store and checks its format, writing it where the
// cluster is new. STORE_UNAVAILABLE, with the hosts named, where the store does
// not answer within ctx or OpTimeout; STORE_FORMAT where a newer ruedo wrote
// it; STORE_EMPTY if the cluster is not new and its format is gone;
// CONFIG_INVALID. A store that is full can be opened.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	space, err := keys.NewSpace(cfg.Cluster)
	if err != nil {
		return nil, err
	}
	s := &Store{client: cfg.Client, space: space, maxModule: cfg.MaxModule, timeout: cfg.OpTimeout, logger: cfg.Logger, check: cfg.Check, accept: cfg.AcceptEmpty}
	if s.maxModule <= 0 {
		s.maxModule = DefaultMaxModule
	}
	if s.timeout <= 0 {
		s.timeout = DefaultOpTimeout
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.pack, s.unpack, err = codec(); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot make the codec of modules")
	}
	if s.client == nil {
		if s.client, err = fleet.Connect(cfg.Hosts, cfg.TLS); err != nil {
			return nil, err
		}
		s.own = true
	}
	if err := s.openFormat(ctx, cfg.Hosts); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// openFormat reads the format, or writes it if there is none. If there is no
// room for it, the first write that the store takes brings it.
func (s *Store) openFormat(ctx context.Context, hosts []string) error {
	value, err := fleet.CheckFormat(ctx, s.client, s.space, hosts, s.timeout)
	if err == nil && value == nil {
		value, err = fleet.CreateFormat(ctx, s.client, s.space, s.timeout, s.accept)
	}
	switch {
	case errors.Is(err, fault.StoreFull):
		s.setFull(err)
		return nil
	case err != nil:
		return err
	}
	s.guard.format.Store(&value)
	return nil
}

// Client is the client that the store works with. It is not to be closed.
func (s *Store) Client() *clientv3.Client { return s.client }

// Space builds the keys of the cluster.
func (s *Store) Space() keys.Space { return s.space }

// Close ends the connection, where Open made it. Mirrors are closed before.
func (s *Store) Close() error {
	s.unpack.Close()
	if s.own {
		_ = s.client.Close() // it only ever says that it was closed
	}
	return nil
}

// do runs one operation within its time and gives its error the meaning that
// it has to the caller.
func (s *Store) do(ctx context.Context, doing string, op func(ctx context.Context) error) error {
	opctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return fleet.Fault(ctx, op(opctx), doing)
}
