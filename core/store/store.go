// Package store keeps the catalog of a cluster in etcd: services with their
// revisions, decorators, modules.
//
//	s, err := store.Open(ctx, store.Config{Hosts: hosts, Cluster: "main"})
//	greet, err := s.Service(ctx, "greet")
//
// # Reads
//
// A [Store] reads from etcd, linearizably. Package mirror holds the same
// catalog in memory, for frequent reads.
//
// # Writes
//
// Each write is one transaction, conditional on the version that the caller has
// seen. It is atomic, and durable when it returns. A lost race is CONFLICT. Its
// version is the store's revision; a mirror can wait for it.
//
// A write that the store does not answer within [Config.OpTimeout] fails with
// STORE_UNAVAILABLE. It may have been made, so read before writing again. A
// caller's own cancel or deadline is returned as it is.
//
// Reads and calls go on while writes are refused; package guard knows why they
// are.
//
// # Kinds
//
// Package table says how each kind of message is stored. A new kind is one row in
// package keys, one table there and, if it is mirrored, one entry in the mirror.
//
// # The audit
//
// Each change is written together with a record of it; see package chain. So a
// change needs a context that says who makes it; see package access.
//
// # Modules
//
// They are a room of their own, package modules, whose methods a Store has too.
//
// # Clusters
//
// A Store sees only the keys of its own cluster id.
//
// # Concurrency
//
// All methods can be called from many goroutines.
package store

import (
	"context"
	"crypto/tls"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/modules"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Defaults of Config.
const (
	DefaultMaxModule = modules.DefaultMaxBytes
	DefaultOpTimeout = fleet.DefaultOpTimeout
)

// Config says where the store is.
type Config struct {
	// Hosts of etcd, each "host:port". Required if Client is nil.
	Hosts []string
	// TLS for etcd; nil means none.
	TLS *tls.Config
	// Login to etcd.
	Login fleet.Login
	// Client is used instead of Hosts, and is not closed.
	Client *clientv3.Client
	// Cluster is the cluster id.
	Cluster string
	// MaxModule is the size of the largest module, in bytes; zero means
	// [DefaultMaxModule].
	MaxModule int64
	// OpTimeout bounds one operation; zero means [DefaultOpTimeout].
	OpTimeout time.Duration
	// Check returns an error while the store's files are gone or cannot be
	// written; see etcdembed's Server.Check. It is called before and after each
	// write. Nil checks nothing.
	Check func() error
	// Quota returns STORE_FULL if the store should get no more data, and
	// STORE_NEARLY_FULL as a warning; see etcdembed's Server.Quota. It is called
	// before each write. Nil knows nothing.
	Quota func() error
	// Format is the storage format to read and write; zero means [fleet.Format].
	Format uint32
	// Migrate is called before the store is used; see package format. Nil migrates
	// nothing.
	Migrate func(ctx context.Context, cluster *fleet.Cluster, audit *chain.Chain) error
	// AuditKey returns the key of the records of the audit, nil while there is none.
	// Nil: there never is.
	AuditKey func() []byte
	// AcceptEmpty accepts a store that has lost its catalog as empty. Otherwise
	// memory is kept, and writes fail with STORE_EMPTY.
	AcceptEmpty bool
	// Logger; nil discards.
	Logger *slog.Logger
}

// Store reads and writes the catalog of one cluster.
type Store struct {
	*modules.Modules
	cluster *fleet.Cluster
	space   keys.Space
	logger  *slog.Logger
	chain   *chain.Chain
	guard   *guard.Guard
	// memory is a mirror's copy of the catalog; nil until there is a mirror.
	memory atomic.Pointer[Memory]
}

// Open connects to the store and checks its format, which it writes if the
// cluster is new. Errors: STORE_UNAVAILABLE if it does not answer within ctx or
// OpTimeout, STORE_FORMAT if a newer ruedo wrote it, or an older one and there is
// no Migrate, STORE_EMPTY if an old cluster has lost its format, CONFIG_INVALID. A
// full store can be opened.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cluster, err := fleet.Open(fleet.Config{
		Hosts: cfg.Hosts, TLS: cfg.TLS, Login: cfg.Login, Client: cfg.Client, Cluster: cfg.Cluster, Format: cfg.Format, Check: cfg.Check, Quota: cfg.Quota, OpTimeout: cfg.OpTimeout, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	s := &Store{cluster: cluster, space: cluster.Space(), logger: cfg.Logger, chain: chain.New(chain.Config{Cluster: cluster, Key: cfg.AuditKey})}
	if cfg.Migrate != nil {
		err = cfg.Migrate(ctx, cluster, s.chain)
	}
	if err == nil {
		s.guard, err = guard.Open(ctx, guard.Config{Cluster: cluster, Chain: s.chain, AcceptEmpty: cfg.AcceptEmpty, Logger: cfg.Logger})
	}
	if err == nil {
		s.Modules, err = modules.New(modules.Config{Cluster: cluster, Guard: s.guard, MaxBytes: cfg.MaxModule, Logger: cfg.Logger})
	}
	if err != nil {
		cluster.Close()
		return nil, err
	}
	return s, nil
}

// Cluster returns the part of etcd that the store uses. Close closes it.
func (s *Store) Cluster() *fleet.Cluster { return s.cluster }

// Chain returns what writes the audit.
func (s *Store) Chain() *chain.Chain { return s.chain }

// Guard returns the guard, which knows why writes are refused.
func (s *Store) Guard() *guard.Guard { return s.guard }

// Memory is what a process knows about the store without reading it. Its
// methods can be called concurrently.
type Memory interface {
	// Names returns at most limit names of a kind, in any order.
	Names(kind keys.Kind, limit int) iter.Seq[string]
	// Service returns the last value of a service that could be read, or nil.
	Service(name string) *ruedov1.Service
}

// SetMemory makes errors suggest names from m, and lets the value in m count
// for a service that cannot be read.
func (s *Store) SetMemory(m Memory) { s.memory.Store(&m) }

// Close closes the connection, if Open made it. Close mirrors first.
func (s *Store) Close() error {
	s.Modules.Close()
	s.cluster.Close()
	return nil
}
