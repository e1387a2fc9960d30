// Package principals keeps in the store who may do something: users, tokens, roles
// and links, whether anybody has to log in at all, and what the cluster seals and
// certifies with.
//
//	revision, err := p.Write(ctx, principals.Batch{
//		Change: chain.Change{Action: "create", Noun: "user", Name: "ada"},
//		If:     []principals.Seen{{Kind: keys.KindUser, Name: "ada"}}, // there is none
//		Users:  []*storev1.User{ada},
//	})
//
// It knows no rules: who may be what is decided above it. A [Batch] is one guarded
// transaction, recorded like every change, so that a link is used up together with
// what it is for.
//
// None of this is part of the catalog: a backup has none of it, and a restore leaves
// it alone. Frequent reads belong to the mirror.
package principals

import (
	"context"

	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/table"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Config configures Principals. All fields are required.
type Config struct {
	// Cluster is the part of etcd that they are read from, and Guard writes them.
	Cluster *fleet.Cluster
	Guard   *guard.Guard
	// Missing returns the error for a name that is not stored.
	Missing func(ctx context.Context, noun access.Noun, name string) error
}

// Principals reads and writes who may do something. Its methods can be called from
// many goroutines.
type Principals struct {
	cluster *fleet.Cluster
	guard   *guard.Guard
	space   keys.Space
	missing func(ctx context.Context, noun access.Noun, name string) error
}

// New returns the principals of a cluster.
func New(cfg Config) *Principals {
	return &Principals{cluster: cfg.Cluster, guard: cfg.Guard, space: cfg.Cluster.Space(), missing: cfg.Missing}
}

// User reads a user. USER_NOT_FOUND; INTEGRITY.
func (p *Principals) User(ctx context.Context, name string) (*storev1.User, error) {
	u, found, err := get(ctx, p, table.Users(), name)
	if err == nil && !found {
		err = p.missing(ctx, access.User, name)
	}
	return u, err
}

// Token reads a token; nil if there is none. INTEGRITY.
func (p *Principals) Token(ctx context.Context, id string) (*storev1.Token, error) {
	t, _, err := get(ctx, p, table.Tokens(), id)
	return t, err
}

// Link reads a link; nil if there is none. INTEGRITY.
func (p *Principals) Link(ctx context.Context, id string) (*storev1.Link, error) {
	l, _, err := get(ctx, p, table.Links(), id)
	return l, err
}

// Links reads all links by id, without those that cannot be read.
func (p *Principals) Links(ctx context.Context) (map[string]*storev1.Link, error) {
	links, _, err := list(ctx, p, table.Links())
	return links, err
}

// Authorities reads the certificate authorities by number, without those that
// cannot be read.
func (p *Principals) Authorities(ctx context.Context) (map[string]*storev1.Authority, error) {
	all, _, err := list(ctx, p, table.Authorities())
	return all, err
}

// Access reads what holds for all logins; nil if nobody has to log in. INTEGRITY.
func (p *Principals) Access(ctx context.Context) (*storev1.Access, error) {
	a, _, err := get(ctx, p, table.Access(), keys.TheAccess)
	return a, err
}

// Keyring reads what seals secrets, and its version; nil and zero if there is none.
// INTEGRITY.
func (p *Principals) Keyring(ctx context.Context) (k *storev1.Keyring, version int64, err error) {
	key, err := p.space.Key(keys.KindSeal, keys.TheKeyring)
	if err != nil {
		return nil, 0, err
	}
	err = p.cluster.Do(ctx, "read the keyring", func(ctx context.Context) error {
		got, err := p.cluster.Get(ctx, key)
		if err != nil || len(got.Kvs) == 0 {
			return err
		}
		version = got.Kvs[0].ModRevision
		k, err = table.Keyrings().Decode(keys.TheKeyring, got.Kvs[0])
		return err
	})
	return k, version, err
}

// get reads one message, through the quorum of the store.
func get[M proto.Message](ctx context.Context, p *Principals, t table.Table[M], name string) (m M, found bool, err error) {
	key, err := p.space.Key(t.Kind, name)
	if err != nil {
		return m, false, err
	}
	err = p.cluster.Do(ctx, "read "+t.Kind.String()+" "+name, func(ctx context.Context) error {
		got, err := p.cluster.Get(ctx, key)
		if err != nil || len(got.Kvs) == 0 {
			return err
		}
		m, err = t.Decode(name, got.Kvs[0])
		found = err == nil
		return err
	})
	return m, found, err
}

// list reads all messages of a kind that can be read, and the names of the others.
func list[M proto.Message](ctx context.Context, p *Principals, t table.Table[M]) (all map[string]M, unreadable []string, err error) {
	err = p.cluster.Do(ctx, "read each "+t.Kind.String(), func(ctx context.Context) error {
		got, err := p.cluster.Get(ctx, p.space.Prefix(t.Kind), clientv3.WithPrefix())
		if err != nil {
			return err
		}
		all, unreadable = map[string]M{}, nil
		for _, kv := range got.Kvs {
			k, ok := p.space.Parse(string(kv.Key))
			if !ok {
				continue
			}
			if m, err := t.Decode(k.Name, kv); err == nil {
				all[k.Name] = m
			} else {
				unreadable = append(unreadable, k.Name)
			}
		}
		return nil
	})
	return all, unreadable, err
}
