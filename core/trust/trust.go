// Package trust holds what a cluster with logins seals secrets with and certifies its
// cores with: the keyring and the certificate authority.
//
//	t, err := trust.Open(ctx, trust.Config{Principals: p, Cluster: "site-a", Seal: seal.Source{File: file}, Login: true})
//	t.Follow(mirror)                                                      // once there is one
//	leaves, err := pki.NewLeaves(pki.LeavesConfig{Authorities: t.Authorities, Core: id})
//
// Both are in the store, the authority's key sealed by the keyring, and the keyring
// locked by the seal key, which is not in the store. A cluster without logins has
// neither.
//
// All methods can be called from many goroutines.
package trust

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/seal"
)

// Config configures Trust.
type Config struct {
	// Principals are where both are stored. Required.
	Principals *principals.Principals
	// Space is the part of the store that belongs to the cluster. Required.
	Space keys.Space
	// Seal says where the seal key is.
	Seal seal.Source
	// Login is what a cluster that is new gets: whether callers have to log in.
	Login bool
	// Strict refuses a cluster that has it otherwise.
	Strict bool
	// Logger receives authorities that cannot be used. Default: discard.
	Logger *slog.Logger
}

// Trust is what this core seals and certifies with.
type Trust struct {
	cfg  Config
	ring atomic.Pointer[seal.Keyring] // nil without logins

	mirror atomic.Pointer[mirror.Mirror] // nil before Follow

	mu     sync.Mutex
	stored map[string]*storev1.Authority
	opened []*pki.Authority // the newest first
}

// Open finds out whether callers have to log in, and opens the keyring if they do. If
// the cluster is new, it makes both. Errors: CLUSTER_MISMATCH, SEAL_KEY_MISSING,
// SEAL_KEY_WRONG, INTEGRITY, and those of the store.
func Open(ctx context.Context, cfg Config) (*Trust, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	t := &Trust{cfg: cfg}
	login, err := t.login(ctx)
	if err != nil || !login {
		return t, err
	}
	return t, t.unlock(ctx)
}

// login reports whether callers have to log in.
func (t *Trust) login(ctx context.Context) (bool, error) {
	p := t.cfg.Principals
	if t.cfg.Strict || t.cfg.Login {
		a, err := p.EnsureAccess(ctx, t.cfg.Login, t.first)
		if err == nil || t.cfg.Strict || !errors.Is(err, fault.ClusterMismatch) {
			return a.GetLogin(), err
		}
		t.ring.Store(nil) // the cluster is not new
	}
	a, err := p.Access(ctx)
	return a.GetLogin(), err
}

// first makes what a cluster with logins begins with.
func (t *Trust) first(context.Context) (principals.First, error) {
	key, err := t.cfg.Seal.LoadOrMake()
	if err != nil {
		return principals.First{}, err
	}
	ring, err := seal.New()
	if err != nil {
		return principals.First{}, err
	}
	file, err := ring.Wrap(key.Recipients())
	if err != nil {
		return principals.First{}, err
	}
	made, err := pki.New(t.cfg.Space.Cluster(), time.Now())
	if err != nil {
		return principals.First{}, err
	}
	stored, err := t.sealed(ring, made, 1)
	if err != nil {
		return principals.First{}, err
	}
	t.ring.Store(ring) // its audit key already holds for the record of this
	return principals.First{Keyring: &storev1.Keyring{File: file, Recipients: key.Recipients()}, Authority: stored}, nil
}

// unlock opens the keyring that is stored.
func (t *Trust) unlock(ctx context.Context) error {
	stored, _, err := t.cfg.Principals.Keyring(ctx)
	if err != nil {
		return err
	}
	if stored == nil {
		return fault.New(fault.Integrity, "callers of this cluster have to log in, but its keyring is gone from the store").WithFix("restore the data of etcd")
	}
	key, err := t.cfg.Seal.Load()
	if err != nil {
		return err
	}
	ring, err := seal.Unwrap(stored.GetFile(), key)
	if err != nil {
		return err
	}
	t.ring.Store(ring)
	return nil
}

// Follow reads the authorities from a mirror from now on.
func (t *Trust) Follow(m *mirror.Mirror) { t.mirror.Store(m) }

// AuditKey returns the key of the records of the audit, nil without logins.
func (t *Trust) AuditKey() []byte {
	if ring := t.ring.Load(); ring != nil {
		return ring.Audit()
	}
	return nil
}

// CoreKey returns the key by which cores recognize each other, nil without logins.
func (t *Trust) CoreKey() []byte {
	if ring := t.ring.Load(); ring != nil {
		return ring.Core()
	}
	return nil
}

// RequireLogin has callers log in from now on, on all cores.
func (t *Trust) RequireLogin(ctx context.Context) error {
	if _, err := t.cfg.Principals.RequireLogin(ctx, t.first); err != nil {
		return err
	}
	return t.unlock(ctx)
}

// sealed returns an authority as it is stored under a number.
func (t *Trust) sealed(ring *seal.Keyring, a *pki.Authority, number uint64) (*storev1.Authority, error) {
	at, err := t.cfg.Space.Key(keys.KindAuthority, strconv.FormatUint(number, 10))
	if err != nil {
		return nil, err
	}
	key, err := a.Key()
	if err != nil {
		return nil, err
	}
	stored := &storev1.Authority{Certificate: a.Certificate().Raw, Key: ring.Seal(at, key)}
	if b := a.Bridge(); b != nil {
		stored.Bridge = b.Raw
	}
	return stored, nil
}

// Authorities returns the authorities of the cluster, the newest one first; none
// without logins. It is quick unless one has changed.
func (t *Trust) Authorities() []*pki.Authority {
	ring, m := t.ring.Load(), t.mirror.Load()
	if ring == nil || m == nil {
		return nil
	}
	stored := m.Snapshot().Authorities
	t.mu.Lock()
	defer t.mu.Unlock()
	if !same(stored, t.stored) {
		t.stored, t.opened = stored, t.open(ring, stored)
	}
	return t.opened
}

// same reports whether two maps hold the same messages. A mirror never changes one.
func same(a, b map[string]*storev1.Authority) bool {
	if len(a) != len(b) {
		return false
	}
	for n, m := range a {
		if other, ok := b[n]; !ok || other != m && !proto.Equal(other, m) {
			return false
		}
	}
	return true
}

func (t *Trust) open(ring *seal.Keyring, stored map[string]*storev1.Authority) []*pki.Authority {
	var opened []*pki.Authority
	for _, n := range numbers(stored) {
		a, err := t.openOne(ring, n, stored[strconv.FormatUint(n, 10)])
		if err != nil {
			t.cfg.Logger.Error("an authority of the cluster cannot be used", "number", n, "error", err)
			continue
		}
		opened = append(opened, a)
	}
	return opened
}

func (t *Trust) openOne(ring *seal.Keyring, number uint64, stored *storev1.Authority) (*pki.Authority, error) {
	at, err := t.cfg.Space.Key(keys.KindAuthority, strconv.FormatUint(number, 10))
	if err != nil {
		return nil, err
	}
	key, err := ring.Open(at, stored.GetKey())
	if err != nil {
		return nil, err
	}
	return pki.Parse(stored.GetCertificate(), key, stored.GetBridge())
}

// numbers returns the numbers of authorities, the highest first.
func numbers(stored map[string]*storev1.Authority) []uint64 {
	var list []uint64
	for name := range stored {
		if n, err := strconv.ParseUint(name, 10, 64); err == nil {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b uint64) int { return cmp.Compare(b, a) })
	return list
}

// Pin returns the pin of the newest authority, "" if there is none.
func (t *Trust) Pin() string {
	if all := t.Authorities(); len(all) > 0 {
		return all[0].Pin()
	}
	return ""
}
