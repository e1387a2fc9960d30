package auth

import (
	"crypto/sha256"
	"math"
	"reflect"
	"slices"
	"sync/atomic"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/mirror"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// view is who may do what as of one snapshot of the mirror. It is immutable but for
// when previous secrets were used.
type view struct {
	snapshot *mirror.Snapshot
	// err is why nobody can be told apart, nil if they can.
	err       *fault.Error
	login     bool
	epoch     uint64
	anonymous *access.Principal
	users     map[string]*user
	tokens    map[string]*credential
}

// user is a user with all that the user may do.
type user struct {
	stored *storev1.User
	grants access.Set
}

// credential is a token. Its secrets are good for as long as their principals say.
type credential struct {
	stored            *storev1.Token
	user              *user
	epoch             uint64
	current, previous secret
	// used is when the previous secret was last shown, in nanoseconds since 1970; 0 if
	// it was not.
	used *atomic.Int64
}

// secretHash is the hash of a secret.
type secretHash [sha256.Size]byte

// secret is one of the texts of a token.
type secret struct {
	hash      secretHash
	principal *access.Principal // nil if it is not good
	until     int64             // nanoseconds since 1970
}

// at returns whose secret it is at a time, nil if it is not good.
func (s *secret) at(now int64) *access.Principal {
	if now >= s.until {
		return nil
	}
	return s.principal
}

// by returns the secret of a token with a hash; nil if it is not good.
func (c *credential) by(hash secretHash) *secret {
	if c == nil {
		return nil
	}
	for _, s := range []*secret{&c.current, &c.previous} {
		if s.principal != nil && s.hash == hash {
			return s
		}
	}
	return nil
}

// hashOf returns the hash of the secret that a principal has shown; zero, which is none's,
// if what the principal may do has changed since.
func (v *view) hashOf(p *access.Principal) (hash secretHash) {
	if c := v.tokens[p.Token]; c != nil {
		for _, s := range []*secret{&c.current, &c.previous} {
			if s.principal == p {
				return s.hash
			}
		}
	}
	return hash
}

// nobody is what is compared with tokens that do not exist: no text has its hash.
var nobody credential

// current returns the view of the mirror's current snapshot. It costs two atomic
// loads until something has changed.
func (a *Auth) current() *view {
	snap := a.cfg.Mirror.Snapshot()
	if v := a.now.Load(); v != nil && v.snapshot == snap {
		return v
	}
	a.build.Lock()
	defer a.build.Unlock()
	// The mirror may have moved on while this goroutine waited, and must not be seen
	// to go back.
	snap = a.cfg.Mirror.Snapshot()
	old := a.now.Load()
	if old != nil && old.snapshot == snap {
		return old
	}
	v := next(old, snap)
	a.now.Store(v)
	if old == nil || !v.judgesAs(old) {
		a.streams.judge(a)
	}
	return v
}

// next returns the view of a snapshot that follows old, which may be nil.
func next(old *view, snap *mirror.Snapshot) *view {
	if old == nil {
		old = &view{}
	}
	v := &view{snapshot: snap, anonymous: &access.Principal{Name: access.Anonymous}}
	if err := snap.Unread(); err != nil {
		v.err, v.login, v.epoch = fault.FromError(err), old.login, old.epoch
		return v
	}
	v.login, v.epoch = snap.Access().GetLogin(), snap.Access().GetEpoch()
	if old.login && !v.login {
		// A login is never taken back: whoever has deleted that it is needed gets
		// nothing by it.
		v.login, v.epoch = true, old.epoch
	}
	if !v.login {
		return v
	}
	before := old.snapshot
	if before == nil || old.err != nil {
		before = &mirror.Snapshot{}
	}
	sameRoles := same(before.Roles, snap.Roles)
	sameUsers := sameRoles && same(before.Users, snap.Users)
	if old.login && old.err == nil && v.epoch == old.epoch && sameUsers && same(before.Tokens, snap.Tokens) {
		v.anonymous, v.users, v.tokens = old.anonymous, old.users, old.tokens
		return v
	}
	if v.users = old.users; !sameUsers || v.users == nil {
		v.users = make(map[string]*user, len(snap.Users))
		for name, stored := range snap.Users {
			was := old.users[name]
			if was == nil || was.stored != stored || !sameRoles {
				was = newUser(was, stored, snap.Roles)
			}
			v.users[name] = was
		}
	}
	if u := v.users[access.Anonymous]; u != nil && !u.stored.GetUser().GetDisabled() {
		v.anonymous = keep(old.anonymous, &access.Principal{Name: access.Anonymous, Grants: callsOnly(u.grants)})
	}
	v.tokens = make(map[string]*credential, len(snap.Tokens))
	for id, stored := range snap.Tokens {
		was, u := old.tokens[id], v.users[stored.GetToken().GetUser()]
		if was == nil || was.stored != stored || was.user != u || was.epoch != v.epoch {
			was = newCredential(was, id, stored, u, v.epoch)
		}
		v.tokens[id] = was
	}
	return v
}

// judgesAs reports whether what goes on as of another view does so as of this one.
func (v *view) judgesAs(other *view) bool {
	return v.err == nil && other.err == nil && v.login == other.login && v.anonymous == other.anonymous && same(v.tokens, other.tokens)
}

// same reports whether two maps of snapshots are one: a mirror makes another map for
// each change.
func same[M ~map[string]V, V any](a, b M) bool {
	return reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
}

// newUser returns a user with the grants of all roles. Roles and grants that do not
// exist or cannot be read give nothing.
func newUser(was *user, stored *storev1.User, roles map[string]*storev1.Role) *user {
	u := &user{stored: stored, grants: access.Held(stored.GetUser().GetRoles(), stored.GetUser().GetGrants(), func(role string) ([]string, bool) {
		r, ok := roles[role]
		return r.GetRole().GetGrants(), ok
	})}
	if was != nil && was.stored == stored && slices.Equal(was.grants, u.grants) {
		return was
	}
	return u
}

// callsOnly returns what of a set is about calls.
func callsOnly(all access.Set) (calls access.Set) {
	for _, g := range all {
		if (g.Verb == access.Call || g.Verb == access.AnyVerb) && (g.Noun == access.Service || g.Noun == access.AnyNoun) {
			calls = append(calls, access.Grant{Verb: access.Call, Noun: access.Service, Pattern: g.Pattern})
		}
	}
	return calls
}

// newCredential returns the credential of a token. Its user is nil if there is none,
// and was is what it was before, or nil.
func newCredential(was *credential, id string, stored *storev1.Token, u *user, epoch uint64) *credential {
	if was == nil {
		was = &nobody
	}
	c := &credential{stored: stored, user: u, epoch: epoch, used: new(atomic.Int64)}
	if u == nil || !good(stored, u.stored, epoch) {
		return c
	}
	t := stored.GetToken()
	p := &access.Principal{Name: "user/" + t.GetUser(), Roles: u.stored.GetUser().GetRoles(), Grants: u.grants, Token: id}
	if len(t.GetGrants()) > 0 {
		if p.Narrow = access.Held(nil, t.GetGrants(), nil); p.Narrow == nil {
			p.Narrow = access.Set{} // nil would not narrow at all
		}
	}
	c.current = newSecret(stored.GetHash(), p, nanos(t.GetExpireTime()), was)
	if t.GetPreviousUntil() != nil {
		// It is another principal, because what was begun with it ends with it.
		again := *p
		c.previous = newSecret(stored.GetPreviousHash(), &again, min(nanos(t.GetPreviousUntil()), nanos(t.GetExpireTime())), was)
		if was.used != nil && was.previous.hash == c.previous.hash {
			c.used = was.used
		}
	}
	return c
}

// good reports whether a token counts at all.
func good(t *storev1.Token, u *storev1.User, epoch uint64) bool {
	return t.GetEpoch() == u.GetEpoch() && t.GetClusterEpoch() == epoch && epoch != math.MaxUint64 &&
		!u.GetUser().GetDisabled() && t.GetToken().GetUser() != access.Anonymous && len(t.GetHash()) == sha256.Size
}

// newSecret returns a secret of a token. If it was one of the token before, and the
// principal may do the same, the principal is the one that there was.
func newSecret(hash []byte, p *access.Principal, until int64, was *credential) secret {
	if len(hash) != sha256.Size {
		return secret{}
	}
	s := secret{hash: secretHash(hash), principal: p, until: until}
	for _, before := range []*secret{&was.current, &was.previous} {
		if before.hash == s.hash {
			s.principal = keep(before.principal, p)
		}
	}
	return s
}

// keep returns was if it is the same principal as p and may do the same.
func keep(was, p *access.Principal) *access.Principal {
	if was != nil && was.Name == p.Name && was.Token == p.Token && slices.Equal(was.Roles, p.Roles) && slices.Equal(was.Grants, p.Grants) &&
		(was.Narrow == nil) == (p.Narrow == nil) && slices.Equal(was.Narrow, p.Narrow) {
		return was
	}
	return p
}

// nanos returns a time in nanoseconds since 1970. One that is not there is over.
func nanos(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	return t.AsTime().UnixNano()
}
