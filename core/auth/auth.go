// Package auth says who requests are of, and has every procedure and route ask
// whether they may.
//
//	a := auth.New(auth.Config{Mirror: mirror, Missing: store.Missing, ...})
//	defer a.Close()
//	p := port.New(port.Config{Identify: a.Identify, Rule: a.Rule, Allow: a.Allow})
//
// # Who
//
// [Auth.Identify] turns what a request shows into a principal. Whoever may open the
// core's socket is an administrator. Others show a token, which is looked up in
// memory: this costs a hash and a comparison, and no read of the store. Whoever shows
// nothing is anonymous. A token that is not good gets one answer, whatever is wrong
// with it, and those who show many get that less often; see package limit.
//
// Principals are compiled when users, roles, tokens or access have changed in the
// mirror, by the first request that finds them changed. So whoever has seen a
// change in the mirror is judged by it.
//
// # Whether
//
// [Auth.Rule] enforces what stands next to a procedure in its proto, and [Auth.Allow]
// what a route of plain HTTP was mounted with. Calls are asked in one place by package
// invoke, and what is about names inside of a request by the rooms that read them:
// with [Auth.Check]. A name that is invisible to the caller is answered as one that
// does not exist.
//
// # Streams
//
// What is open ends within a moment of the token's end, whether it was revoked or has
// expired. A procedure that streams also ends when what its caller may do has changed,
// except for the lane of a runner that may still execute, and an exchange of a service
// ends when its caller may not call the service any more; see [Auth.FollowCall]. They are
// looked at when something changes, not when something is sent.
//
// # Clusters without login
//
// There everybody may do everything, and nothing is compiled. What streams ends when the
// cluster gets a login: nobody has shown who it is of.
package auth

import (
	"cmp"
	"context"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/core/auth/limit"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// DefaultMaxStale is the default of Config.MaxStale.
const DefaultMaxStale = 24 * time.Hour

const (
	// maxFailures is how many tokens that are not good a network can show in a
	// minute until it is told to wait.
	maxFailures = 20
	// maxOpen is how many requests to open procedures a network can send in a
	// second.
	maxOpen = 10
)

// Config configures an Auth. Fields without a default are required.
type Config struct {
	// Mirror has the users, and is a mirror.Mirror.
	Mirror interface {
		Snapshot() *mirror.Snapshot
		Changed() <-chan struct{}
		Age() time.Duration
	}
	// Cluster is the id of the cluster, which is the one name of its noun.
	Cluster string
	// Missing returns the error for a name that does not exist. Suggestions in it are
	// only of what the caller may read.
	Missing func(ctx context.Context, noun access.Noun, name string) error
	// Key returns the key by which cores of the cluster know each other; nil if there
	// is none. Default: there is none.
	Key func() []byte
	// MaxStale is how long the store can be silent until requests are refused, except
	// on the socket. Default: [DefaultMaxStale].
	MaxStale time.Duration
	// Denied is told what was refused, and why; it must not wait. Default: nobody is
	// told.
	Denied func(ctx context.Context, action, noun, name string, reason fault.Reason)
	// Logger; nil discards.
	Logger *slog.Logger
}

// Auth knows who may do what. Its methods can be called from many goroutines.
type Auth struct {
	cfg Config
	// local is whoever opens the socket or is in this process, and everybody who
	// reaches a cluster without login. Services are told who the former is.
	local, everybody *access.Principal
	core             access.Set

	failures, open *limit.Limiter

	now   atomic.Pointer[view]
	build sync.Mutex // one at a time

	streams streams
}

// New returns an Auth. It starts no goroutines.
func New(cfg Config) *Auth {
	cfg.MaxStale = cmp.Or(cfg.MaxStale, DefaultMaxStale)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Key == nil {
		cfg.Key = func() []byte { return nil }
	}
	if cfg.Denied == nil {
		cfg.Denied = func(context.Context, string, string, string, fault.Reason) {}
	}
	a := &Auth{
		cfg: cfg, local: access.Local(), everybody: access.Everybody(),
		// Cores ask each other how they are, and have each other's members of the
		// store defragmented.
		core:     access.Set{{Verb: access.Read, Pattern: "*"}, {Verb: access.Write, Noun: access.Cluster, Pattern: "*"}},
		failures: limit.New(maxFailures, time.Minute),
		open:     limit.New(maxOpen, time.Second),
	}
	a.streams.init()
	return a
}

// Close ends what watches over streams, and waits for it.
func (a *Auth) Close() { a.streams.close() }

// Identify returns who a request is of. via is one of the words of package access,
// and from the address that it came from, without a port.
//
// Errors: UNAUTHENTICATED or LOGIN_LIMIT if it shows what is not good; STALE_ACCESS;
// STORE_RESTORING.
func (a *Auth) Identify(r *http.Request, via, from string) (*access.Principal, *fault.Error) {
	if via == access.ViaSocket || via == access.ViaMemory {
		return a.local, nil
	}
	v := a.current()
	switch {
	case v.err != nil:
		return nil, v.err
	case !v.login:
		return a.everybody, nil
	}
	if age := a.cfg.Mirror.Age(); age > a.cfg.MaxStale {
		return nil, fault.New(fault.StaleAccess, "this core has not heard from the store for %s, so it cannot tell who may do what", age.Round(time.Second)).
			WithFix("send the request to another core, or look at what is wrong with the store")
	}
	shown := r.Header["Authorization"]
	if len(shown) == 0 {
		return v.anonymous, nil
	}
	text, ok := bearer(shown)
	if !ok {
		return nil, a.bad(r.Context(), via, from, "")
	}
	if p := v.find(text); p != nil {
		return p, nil
	}
	return a.other(r.Context(), via, from, text)
}

// other returns who a request is of that shows no valid token of a user.
func (a *Auth) other(ctx context.Context, via, from, text string) (*access.Principal, *fault.Error) {
	if token.IsCore(text) {
		id, err := token.VerifyCore(a.cfg.Key(), text, time.Now())
		if err == nil {
			return &access.Principal{Name: "core/" + id, Grants: a.core}, nil
		}
		a.cfg.Logger.Debug("somebody who is not a core of this cluster has asked this one", "from", from, "error", err)
	}
	id := ""
	if t, err := token.Parse(token.Bearer, text); err == nil {
		id = t.ID()
	}
	return nil, a.bad(ctx, via, from, id)
}

// Public reports whether everybody may call a service.
func (a *Auth) Public(service string) bool {
	v := a.current()
	return v.err == nil && (!v.login || v.anonymous.Allows(access.Call, access.Service, service))
}

// bearer returns the token in the values of Authorization.
func bearer(values []string) (text string, ok bool) {
	if len(values) != 1 {
		return "", false
	}
	const scheme = "Bearer "
	v := values[0]
	if len(v) < len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) {
		return "", false
	}
	return strings.TrimSpace(v[len(scheme):]), true
}

// bad returns the error for a token that is not good, with this id if it has one.
// Only such tokens are limited: whoever guesses locks out nobody next door.
func (a *Auth) bad(ctx context.Context, via, from, id string) *fault.Error {
	e := access.Unauthenticated()
	if retry, ok := a.failures.Allow(limit.Network(from)); !ok {
		e = tooMany(retry)
	}
	who := &access.Request{Principal: &access.Principal{Name: access.Anonymous, Token: id}, Via: via, From: from}
	a.cfg.Denied(access.With(ctx, who), "authenticate", "", "", e.Reason)
	return e
}

func tooMany(retry time.Duration) *fault.Error {
	return fault.New(fault.LoginLimit, "too many attempts have come from this address").WithRetry(retry).
		WithFix("wait, then try again with a token or a password that is good")
}

// PreviousUsed returns when the secret that a token had before its last rotation was
// last shown to this core, if that was since the rotation.
func (a *Auth) PreviousUsed(id string) (at time.Time, ok bool) {
	c := a.current().tokens[id]
	if c == nil || c.used.Load() == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, c.used.Load()), true
}

// find returns whose token a text is, nil if it is not good. A token that does not
// exist takes as long as any other.
func (v *view) find(text string) *access.Principal {
	id, hash, ok := token.Shown(token.Bearer, text)
	if !ok {
		return nil
	}
	c := v.tokens[id]
	if c == nil {
		c = &nobody
	}
	s := &c.current
	if subtle.ConstantTimeCompare(s.hash[:], hash[:]) != 1 {
		if s = &c.previous; subtle.ConstantTimeCompare(s.hash[:], hash[:]) != 1 {
			return nil
		}
	}
	now := time.Now().UnixNano()
	p := s.at(now)
	if p != nil && s == &c.previous {
		c.used.Store(now)
	}
	return p
}
