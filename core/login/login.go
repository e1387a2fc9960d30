// Package login is the front door: it makes sessions of passwords and invites, and
// keeps users, roles and tokens.
//
//	l := login.New(login.Config{Store: principals, Mirror: mirror, ...})
//	session, secret, err := l.Login(ctx, "ada", password)
//
// Package auth says who a request is of, by what is kept here.
//
// # Nobody gives away more than they hold
//
// Every grant of a user, a role or a token has to be covered by those of whoever
// writes it (GRANT_EXCEEDS), and whoever makes an invite or a token for somebody
// else has to hold all that this user holds. What a user or a role had before does
// not count, so that its description can be changed by those who hold less.
//
// # Secrets
//
// The store has hashes of them. The secret of a token, or an invite, is in the answer
// that makes it and nowhere else.
//
// # Epochs
//
// A token is good while its epoch is that of its user. Whatever ends all tokens of a
// user raises the user's epoch, which is one write, whatever their number.
//
// # Writes
//
// What is decided by the mirror is written on condition that it has not changed. If
// it has, the mirror catches up and it is decided again.
package login

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/ruedo-dev/ruedo/core/auth/limit"
	"github.com/ruedo-dev/ruedo/core/login/holdings"
	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

const (
	// DefaultSession and MaxSession are how long a login lasts.
	DefaultSession = 24 * time.Hour
	MaxSession     = 30 * 24 * time.Hour

	// attemptsPerAddress and attemptsPerUser bound the logins of a user in a minute,
	// from one address and from all of them. failuresPerAddress bounds those of all users
	// from one address that fail, and beyond triesPerAddress, others go first.
	attemptsPerAddress = 5
	attemptsPerUser    = 30
	failuresPerAddress = 10
	triesPerAddress    = 10

	// writeTries bounds how often others can write what a change is decided by.
	writeTries = 8
)

// Config configures a Login. All fields are required, unless they say otherwise.
type Config struct {
	Store interface {
		Write(ctx context.Context, b principals.Batch) (revision int64, err error)
		Link(ctx context.Context, id string) (*storev1.Link, error)
		Expire(ctx context.Context, fence fleet.Fence, seen []principals.Seen) (bool, error)
	}
	Mirror interface {
		Snapshot() *mirror.Snapshot
		Wait(ctx context.Context, revision int64) error
	}
	// Missing returns the error for a name that does not exist, or that the caller
	// does not see.
	Missing func(ctx context.Context, noun access.Noun, name string) error
	// Check is access.Check, for what no rule of a procedure can say.
	Check func(ctx context.Context, verb access.Verb, noun access.Noun, name string) error
	// Cluster is the id of the cluster, and Version that of the program.
	Cluster, Version string
	// URL returns where clients reach this core.
	URL func() string
	// Pin returns the pin of the cluster's authority, "" if it has none. Nil: it has
	// none.
	Pin func() string
	// Session is how long a login lasts. Default: [DefaultSession]. At most
	// [MaxSession].
	Session time.Duration
	// Denied is called with what is refused: a login that fails, where name is that of a
	// user who exists, or more grants than the caller holds. It must not wait. Nil
	// disables it.
	Denied func(ctx context.Context, action, noun, name string, reason fault.Reason)
	// Hasher starts a process that only calls password.Child. Empty: this process hashes
	// passwords itself.
	Hasher []string
	// PreviousUsed returns when this core last saw the secret that a token had before
	// its rotation. Nil: never.
	PreviousUsed func(id string) (time.Time, bool)
}

// Login keeps users, roles and tokens. Its methods can be called from many
// goroutines. They answer the request of their context; see [access.Of].
type Login struct {
	cfg       Config
	passwords *password.Hasher
	// byAddress and byUser limit attempts to log in, and failures those that fail. tries
	// tells which addresses are insistent; known are those of earlier logins.
	byAddress, byUser, failures, tries *limit.Limiter
	known                              limit.Recent
}

// New returns a Login. It starts nothing before somebody logs in.
func New(cfg Config) *Login {
	cfg.Session = min(cmp.Or(cfg.Session, DefaultSession), MaxSession)
	if cfg.Pin == nil {
		cfg.Pin = func() string { return "" }
	}
	if cfg.Denied == nil {
		cfg.Denied = func(context.Context, string, string, string, fault.Reason) {}
	}
	if cfg.PreviousUsed == nil {
		cfg.PreviousUsed = func(string) (time.Time, bool) { return time.Time{}, false }
	}
	return &Login{
		cfg: cfg, passwords: password.New(password.Config{Command: cfg.Hasher}),
		byAddress: limit.New(attemptsPerAddress, time.Minute), byUser: limit.New(attemptsPerUser, time.Minute),
		failures: limit.New(failuresPerAddress, time.Minute), tries: limit.New(triesPerAddress, time.Minute),
	}
}

// Close ends the processes that hash passwords, and waits for them.
func (l *Login) Close() { l.passwords.Close() }

func (l *Login) view() holdings.View { return holdings.Of(l.cfg.Mirror.Snapshot()) }

// change writes what decide makes of what is stored, and returns when this core has
// seen it. decide is called again if what it names in If has changed meanwhile.
func (l *Login) change(ctx context.Context, decide func(v holdings.View) (principals.Batch, error)) (revision int64, err error) {
	for range writeTries {
		v := l.view()
		if err := v.Unread(); err != nil {
			return 0, err
		}
		b, err := decide(v)
		if err != nil {
			return 0, err
		}
		revision, err = l.cfg.Store.Write(ctx, b)
		if err != nil && !errors.Is(err, fault.Conflict) {
			return 0, err
		}
		if waited := l.cfg.Mirror.Wait(ctx, revision); waited != nil || err == nil {
			return revision, waited
		}
	}
	return 0, fault.New(fault.Conflict, "others change users, roles or tokens all the time").WithFix("try again")
}

// request returns who a context is of.
func request(ctx context.Context) (*access.Request, error) {
	if r := access.Of(ctx); r != nil && r.Principal != nil {
		return r, nil
	}
	return nil, access.Unsaid()
}

// as returns a context of a user who has just shown who they are, with a token.
func as(ctx context.Context, user, token string) context.Context {
	r := &access.Request{Principal: &access.Principal{Name: "user/" + user, Token: token}}
	if was := access.Of(ctx); was != nil {
		r.From, r.Via = was.From, was.Via
	}
	return access.With(ctx, r)
}

// given returns GRANT_EXCEEDS if the caller does not hold all that somebody would get
// by a user or a role.
func (l *Login) given(ctx context.Context, noun access.Noun, name, whom string, set access.Set) error {
	r, err := request(ctx)
	if err != nil {
		return err
	}
	for _, g := range set {
		if !r.Holds(g) {
			l.cfg.Denied(ctx, "grant", access.NounWord(noun), name, fault.GrantExceeds)
			return fault.New(fault.GrantExceeds, "%s would get the grant %q, which %s does not hold", whom, g, r.Name).
				With("grant", g.String()).WithFix("ask somebody who holds it")
		}
	}
	return nil
}

// lifetime returns how long something lives.
func lifetime(asked, otherwise, limit time.Duration) (time.Duration, error) {
	switch d := cmp.Or(asked, otherwise); {
	case d < 0:
		return 0, fault.New(fault.RequestInvalid, "a lifetime of %s is over already", d).WithFix("ask for a time from now")
	case d > limit:
		return 0, fault.New(fault.RequestInvalid, "a lifetime of %s is longer than the limit of %s", d, limit).With("limit", limit, "actual", d).WithFix("ask for less")
	default:
		return d, nil
	}
}
