// Package store keeps the catalog of a cluster in etcd: services with their
// revisions, decorators, modules.
//
//	s, err := store.Open(ctx, store.Config{Hosts: hosts, Cluster: "main"})
//	greet, err := s.Service(ctx, "greet")
//
// # Reads
//
// A [Store] reads from etcd, linearizably. Package mirror holds the same catalog
// in memory, for everything that is asked often.
//
// # Writes
//
// Each is one transaction, guarded by the version that the caller has seen: all
// or nothing, and durable when it returns. A lost race is CONFLICT. The version
// of what was written is the store's revision; a mirror can wait for it.
//
// A write that the store does not answer is STORE_UNAVAILABLE within
// [Config.OpTimeout]. That does not say whether the change was made: read before
// writing again. A caller's own cancel or deadline is returned as it is.
//
// A write is refused with STORE_EMPTY while the store has lost what memory
// holds, with STORE_FORMAT once a newer ruedo has taken the store over, with
// STORE_FULL while there is no room, and with DATA_DIR_LOST if the files of the
// embedded store are gone. Reads and calls go on. The [Guard] knows which it is.
//
// # Kinds
//
// A [Table] says how one kind of message is stored. A new kind is one row in
// package keys, one Table here and, if it is mirrored, one entry there.
//
// # Modules
//
// A module is cut into chunks, and its manifest is written last: without a
// manifest there is no module, so an upload that broke off is visible nowhere
// and can be repeated. The bytes are verified against the digest on every read.
//
// # Clusters
//
// A Store sees the keys of its own cluster id and of no other.
//
// # Concurrency
//
// All methods may be called from many goroutines.
package store

import (
	"context"
	"crypto/tls"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	clientv3 "go.etcd.io/etcd/client/v3"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Defaults of Config.
const (
	DefaultMaxModule = 32 << 20
	DefaultOpTimeout = fleet.DefaultOpTimeout
)

// Config says where the store is.
type Config struct {
	// Hosts of etcd, each "host:port". Required if Client is nil.
	Hosts []string
	// TLS for etcd; nil means none.
	TLS *tls.Config
	// Client is used instead of Hosts, and is not closed.
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
	cluster   *fleet.Cluster
	space     keys.Space
	maxModule int64
	logger    *slog.Logger
	guard     Guard
	// memory is what a mirror knows. Nil until there is one.
	memory  atomic.Pointer[Memory]
	damaged damage
	pack    *zstd.Encoder
	unpack  *zstd.Decoder
}

// Open connects to the store and checks its format, writing it if the cluster is
// new. STORE_UNAVAILABLE, with the hosts named, if the store does not answer
// within ctx or OpTimeout; STORE_FORMAT if a newer ruedo wrote it; STORE_EMPTY if the cluster is not new and its format is gone;
// CONFIG_INVALID. A store that is full can be opened.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.MaxModule <= 0 {
		cfg.MaxModule = DefaultMaxModule
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	pack, unpack, err := codec()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot make the codec of modules")
	}
	cluster, err := fleet.Open(fleet.Config{
		Hosts: cfg.Hosts, TLS: cfg.TLS, Client: cfg.Client, Cluster: cfg.Cluster, OpTimeout: cfg.OpTimeout, Logger: cfg.Logger,
	})
	if err != nil {
		unpack.Close()
		return nil, err
	}
	s := &Store{
		cluster: cluster, space: cluster.Space(), maxModule: cfg.MaxModule, logger: cfg.Logger, pack: pack, unpack: unpack,
		guard: Guard{cluster: cluster, check: cfg.Check, accept: cfg.AcceptEmpty, logger: cfg.Logger},
	}
	if err := s.guard.open(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// Cluster is the part of etcd that the store is in. It ends with the store.
func (s *Store) Cluster() *fleet.Cluster { return s.cluster }

// Guard knows why writes are refused.
func (s *Store) Guard() *Guard { return &s.guard }

// Memory is what a process knows of the store without reading it. Its methods
// may be called from many goroutines.
type Memory interface {
	// Names returns at most limit names of a kind, in any order.
	Names(kind keys.Kind, limit int) iter.Seq[string]
	// Service returns the last value of a service that could be read, or nil.
	Service(name string) *ruedov1.Service
}

// SetMemory makes errors suggest names that m has, and lets a service that
// cannot be read count as what it was.
func (s *Store) SetMemory(m Memory) { s.memory.Store(&m) }

// Close ends the connection, if Open made it. Mirrors are closed before.
func (s *Store) Close() error {
	s.unpack.Close()
	s.cluster.Close()
	return nil
}
