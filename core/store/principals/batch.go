package principals

import (
	"context"
	"maps"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/table"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// How many of each kind a cluster has. While several cores write at the same time
// there can be a few more.
const (
	MaxUsers  = 10_000
	MaxRoles  = 1000
	MaxTokens = 20_000
	MaxLinks  = 1000
)

// MaxBatch bounds the operations of a Batch, and its conditions; etcd refuses 128
// of each, and a record takes some.
const MaxBatch = 120

// maxValue bounds one value. The largest has 64 grants of 128 bytes.
const maxValue = 64 << 10

// Seen is a value as somebody has read it.
type Seen struct {
	Kind keys.Kind
	Name string
	// Version is zero if there was none.
	Version int64
}

// Batch is what one transaction does. Versions in its messages do not count.
type Batch struct {
	// Change is what the audit says of it.
	Change chain.Change
	// If are values that must not have changed. A value that is new must be among
	// them, with version zero: then it is counted.
	If []Seen
	// Since are kinds of which no value may have been written after a revision of the
	// store. Values that were deleted do not count.
	Since map[keys.Kind]int64
	// What to write.
	Users  []*storev1.User
	Roles  []*storev1.Role
	Tokens []*storev1.Token
	// Links by id. One that is new is deleted when it expires; one that has a
	// version keeps its time.
	Links  map[string]*storev1.Link
	Access *storev1.Access
	// Authorities by number.
	Authorities map[string]*storev1.Authority
	Keyring     *storev1.Keyring
	// Delete is what to delete, whatever its version, and even if it is not there.
	Delete []Seen
}

// Write makes a transaction of a batch, and returns the store's revision, also with
// CONFLICT. CONFLICT if a value of If has changed, or one of a kind in Since;
// REQUEST_INVALID if the batch or a value is too large; PRINCIPAL_LIMIT if there would
// be too many of a kind.
func (p *Principals) Write(ctx context.Context, b Batch) (revision int64, err error) {
	err = p.cluster.Do(ctx, b.Change.Action+" "+b.Change.Noun+" "+b.Change.Name, func(ctx context.Context) error {
		if err := p.admit(ctx, b.If); err != nil {
			return err
		}
		then, lease, err := p.operations(ctx, b)
		if err != nil {
			return err
		}
		done, err := p.commit(ctx, b, then)
		if lease != 0 && (err != nil || !done.Succeeded) {
			// After an error the write may have been made all the same; then its links
			// are gone, and can be made again.
			p.cluster.Revoke(context.WithoutCancel(ctx), lease)
		}
		if err != nil {
			return err
		}
		revision = done.Header.Revision
		if !done.Succeeded {
			return conflict(b.Change)
		}
		return nil
	})
	return revision, err
}

func conflict(c chain.Change) error {
	return fault.New(fault.Conflict, "%s %s has changed meanwhile, or something that belongs to it", c.Noun, c.Name).WithFix("look at it, then try again")
}

func (p *Principals) commit(ctx context.Context, b Batch, then []clientv3.Op) (*clientv3.TxnResponse, error) {
	when, err := p.unchanged(b.If)
	if err != nil {
		return nil, err
	}
	for kind, revision := range b.Since {
		when = append(when, guard.AllUnchanged(p.space.Prefix(kind), revision))
	}
	if len(then) > MaxBatch || len(when) > MaxBatch {
		return nil, fault.New(fault.RequestInvalid, "%d values cannot be changed together, the limit is %d", max(len(then), len(when)), MaxBatch)
	}
	return p.guard.Commit(ctx, b.Change, when, then, nil)
}

func (p *Principals) unchanged(seen []Seen) ([]clientv3.Cmp, error) {
	var when []clientv3.Cmp
	for _, s := range seen {
		key, err := p.space.Key(s.Kind, s.Name)
		if err != nil {
			return nil, err
		}
		when = append(when, guard.Unchanged(key, s.Version))
	}
	return when, nil
}

// operations returns the operations of a batch, and the lease of its new links.
func (p *Principals) operations(ctx context.Context, b Batch) (then []clientv3.Op, lease clientv3.LeaseID, err error) {
	put := func(kind keys.Kind, name string, m proto.Message, opts ...clientv3.OpOption) {
		if err != nil {
			return
		}
		var key, value string
		if key, err = p.space.Key(kind, name); err != nil {
			return
		}
		if value, err = table.Encode(m); err == nil && len(value) > maxValue {
			err = fault.New(fault.RequestInvalid, "%s %s takes %d bytes in the store, over the limit of %d", kind, name, len(value), maxValue).WithFix("shorten its description or its grants")
		}
		then = append(then, clientv3.OpPut(key, value, opts...))
	}
	for _, u := range b.Users {
		u = proto.CloneOf(u)
		u.User.Version = 0
		put(keys.KindUser, u.GetUser().GetName(), u)
	}
	for _, r := range b.Roles {
		r = proto.CloneOf(r)
		r.Role.Version = 0
		put(keys.KindRole, r.GetRole().GetName(), r)
	}
	for _, t := range b.Tokens {
		t = proto.CloneOf(t)
		t.Version = 0
		put(keys.KindToken, t.GetToken().GetId(), t)
	}
	if b.Access != nil {
		a := proto.CloneOf(b.Access)
		a.Version = 0
		put(keys.KindAccess, keys.TheAccess, a)
	}
	if b.Keyring != nil {
		put(keys.KindSeal, keys.TheKeyring, b.Keyring)
	}
	for _, n := range slices.Sorted(maps.Keys(b.Authorities)) {
		put(keys.KindAuthority, n, b.Authorities[n])
	}
	for _, s := range b.Delete {
		key, bad := p.space.Key(s.Kind, s.Name)
		if bad != nil {
			return nil, 0, bad
		}
		then = append(then, clientv3.OpDelete(key))
	}
	var until time.Time
	for _, id := range slices.Sorted(maps.Keys(b.Links)) {
		l := proto.CloneOf(b.Links[id])
		known := l.GetVersion() != 0
		l.Version = 0
		if known {
			put(keys.KindLink, id, l, clientv3.WithIgnoreLease())
			continue
		}
		if lease == 0 && err == nil {
			until = l.GetExpireTime().AsTime()
			if lease, err = p.cluster.Grant(ctx, time.Until(until)); err != nil {
				return nil, 0, err
			}
		}
		put(keys.KindLink, id, l, clientv3.WithLease(lease))
	}
	return then, lease, err
}

// admit returns PRINCIPAL_LIMIT if there are too many of a kind of which something
// is new.
func (p *Principals) admit(ctx context.Context, seen []Seen) error {
	for kind, limit := range map[keys.Kind]int64{keys.KindUser: MaxUsers, keys.KindRole: MaxRoles, keys.KindToken: MaxTokens, keys.KindLink: MaxLinks} {
		if !slices.ContainsFunc(seen, func(s Seen) bool { return s.Kind == kind && s.Version == 0 }) {
			continue
		}
		got, err := p.cluster.Get(ctx, p.space.Prefix(kind), clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		if got.Count >= limit {
			return fault.New(fault.PrincipalLimit, "the cluster has %d %ss, the limit is %d", got.Count, kind, limit).WithFix("delete %ss that nobody needs", kind)
		}
	}
	return nil
}

// Expire deletes, as the leader, what has these versions, at most [MaxBatch] of
// them. It reports whether it did: nothing is deleted if one has changed. It is not
// recorded: what is deleted has ended on its own. LEADERSHIP_LOST.
func (p *Principals) Expire(ctx context.Context, fence fleet.Fence, seen []Seen) (done bool, err error) {
	when, err := p.unchanged(seen)
	if err != nil {
		return false, err
	}
	var then []clientv3.Op
	for _, s := range seen {
		key, err := p.space.Key(s.Kind, s.Name)
		if err != nil {
			return false, err
		}
		then = append(then, clientv3.OpDelete(key))
	}
	err = p.cluster.Do(ctx, "delete what has expired", func(ctx context.Context) error {
		res, err := p.guard.CommitFenced(ctx, fence, chain.Unrecorded{}, when, then, nil)
		done = err == nil && res.Succeeded
		return err
	})
	return done, err
}
