package principals

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// First is what a cluster with logins begins with. Nil parts are not written.
type First struct {
	Keyring   *storev1.Keyring
	Authority *storev1.Authority
}

// foundTries bounds how often other cores can be first.
const foundTries = 4

// EnsureAccess returns what holds for all logins, nil if nobody has to log in. For a
// store that is new, login decides: if it is true, what makes the rest of what is
// written, in the same transaction; nil makes nothing. Another core can be first all
// the same, so read the keyring again. A store that is not new keeps what it has.
// CLUSTER_MISMATCH if that is not what login says.
func (p *Principals) EnsureAccess(ctx context.Context, login bool, first func(context.Context) (First, error)) (*storev1.Access, error) {
	for range foundTries {
		now, err := p.Access(ctx)
		switch {
		case err != nil:
			return nil, err
		case now.GetLogin() && !login:
			return nil, fault.New(fault.ClusterMismatch, "callers of cluster %s have to log in, and this core was started without logins", p.space.Cluster()).
				WithFix("start it with auth.mode on, or on another store; logins are never turned off")
		case now.GetLogin() || !login:
			return now, nil
		}
		a, ok, err := p.found(ctx, "found", p.isNew(), first)
		if err != nil || ok {
			return a, err
		}
		if now, err = p.Access(ctx); err == nil && now == nil {
			return nil, fault.New(fault.ClusterMismatch, "nobody has to log in to cluster %s, and this core was started with logins", p.space.Cluster()).
				WithFix("start it with auth.mode off, then require logins on the socket of a core")
		}
	}
	return nil, fault.New(fault.Conflict, "other cores write what holds for logins at the same time").WithFix("start it again")
}

// RequireLogin has callers log in from now on, if they did not have to, and writes
// what first makes together with that.
func (p *Principals) RequireLogin(ctx context.Context, first func(context.Context) (First, error)) (*storev1.Access, error) {
	for range foundTries {
		now, err := p.Access(ctx)
		if err != nil || now.GetLogin() {
			return now, err
		}
		if a, ok, err := p.found(ctx, "require-login", nil, first); err != nil || ok {
			return a, err
		}
	}
	return nil, fault.New(fault.Conflict, "other cores write what holds for logins at the same time").WithFix("try again")
}

// isNew are the conditions that nothing is in the store that is somebody's, and that
// no core runs on it.
func (p *Principals) isNew() []clientv3.Cmp {
	var when []clientv3.Cmp
	for _, prefix := range []string{
		p.space.Prefix(keys.KindService), p.space.Prefix(keys.KindDecorator), p.space.AllRevisions(), p.space.Prefix(keys.KindCore),
		p.space.Prefix(keys.KindUser), p.space.Prefix(keys.KindToken), p.space.Prefix(keys.KindRole), p.space.Prefix(keys.KindLink),
	} {
		when = append(when, clientv3.Compare(clientv3.CreateRevision(prefix).WithPrefix(), "=", 0))
	}
	return when
}

// found writes that callers have to log in, if nothing is there yet.
func (p *Principals) found(ctx context.Context, action string, when []clientv3.Cmp, first func(context.Context) (First, error)) (a *storev1.Access, ok bool, err error) {
	if holds, err := p.hold(ctx, when); err != nil || !holds {
		return nil, false, err // before first makes anything
	}
	b := Batch{
		Change: chain.Change{Action: action, Noun: "cluster", Name: p.space.Cluster(), Summary: "callers have to log in"},
		Access: &storev1.Access{Login: true},
		If:     []Seen{{Kind: keys.KindAccess, Name: keys.TheAccess}},
	}
	if first != nil {
		f, err := first(ctx)
		if err != nil {
			return nil, false, err
		}
		if b.Keyring = f.Keyring; b.Keyring != nil {
			b.If = append(b.If, Seen{Kind: keys.KindSeal, Name: keys.TheKeyring})
		}
		if f.Authority != nil {
			b.Authorities = map[string]*storev1.Authority{"1": f.Authority}
			b.If = append(b.If, Seen{Kind: keys.KindAuthority, Name: "1"})
		}
	}
	same, err := p.unchanged(b.If)
	if err != nil {
		return nil, false, err
	}
	err = p.cluster.Do(ctx, "write what holds for logins", func(ctx context.Context) error {
		then, _, err := p.operations(ctx, b)
		if err != nil {
			return err
		}
		done, err := p.guard.Commit(ctx, b.Change, append(when, same...), then, nil)
		if err == nil && done.Succeeded {
			ok, a = true, b.Access
			a.Version = done.Header.Revision
		}
		return err
	})
	return a, ok, err
}

// hold reports whether conditions hold now.
func (p *Principals) hold(ctx context.Context, when []clientv3.Cmp) (holds bool, err error) {
	if len(when) == 0 {
		return true, nil
	}
	err = p.cluster.Do(ctx, "read what is in the store", func(ctx context.Context) error {
		done, err := p.cluster.Txn(ctx).If(when...).Commit()
		holds = err == nil && done.Succeeded
		return err
	})
	return holds, err
}
