// Package users keeps the users of a cluster, with their roles, tokens and invites.
//
//	u := users.New(users.Config{Store: principals, Mirror: mirror, ...})
//	user, invite, err := u.CreateUser(ctx, &ruedov1.User{Name: "ada", Roles: []string{"admin"}}, 0)
//	made, secret, err := u.CreateToken(ctx, &ruedov1.CreateTokenRequest{User: "ci"})
//
// Package auth says who a request is of, by what is kept here, and package login makes
// sessions, which are tokens.
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
package users

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/users/holdings"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

const (
	// DefaultSession and MaxSession are how long a session lasts.
	DefaultSession = 24 * time.Hour
	MaxSession     = 30 * 24 * time.Hour

	// writeTries bounds how often others can write what a change is decided by.
	writeTries = 8
)

// Config configures Users. All fields are required, unless they say otherwise.
type Config struct {
	Store interface {
		Write(ctx context.Context, b principals.Batch) (revision int64, err error)
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
	// Cluster is the id of the cluster.
	Cluster string
	// URL returns where clients reach this core; "" if they do not.
	URL func() string
	// Pin returns the pin of the cluster's authority, "" if it has none. Nil: it has
	// none.
	Pin func() string
	// Session is how long a session lasts. Default: [DefaultSession]. At most
	// [MaxSession].
	Session time.Duration
	// Denied is called when somebody would give away more than they hold. It must not
	// wait. Nil disables it.
	Denied func(ctx context.Context, action, noun, name string, reason fault.Reason)
	// PreviousUsed returns when this core last saw the secret that a token had before
	// its rotation. Nil: never.
	PreviousUsed func(id string) (time.Time, bool)
}

// Users keeps users, roles, tokens and invites. Its methods can be called from many
// goroutines. They answer the request of their context; see [access.Of].
type Users struct{ cfg Config }

// New returns Users. It starts nothing.
func New(cfg Config) *Users {
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
	return &Users{cfg}
}

// View returns what users hold now.
func (us *Users) View() holdings.View { return holdings.Of(us.cfg.Mirror.Snapshot()) }

// Change writes what decide makes of what is stored, and returns when this core has
// seen it. decide is called again if what it names in If has changed meanwhile.
//
// Errors: those of decide; CONFLICT if that happens again and again; the store's.
func (us *Users) Change(ctx context.Context, decide func(v holdings.View) (principals.Batch, error)) (revision int64, err error) {
	for range writeTries {
		v := us.View()
		if err := v.Unread(); err != nil {
			return 0, err
		}
		b, err := decide(v)
		if err != nil {
			return 0, err
		}
		revision, err = us.cfg.Store.Write(ctx, b)
		if err != nil && !errors.Is(err, fault.Conflict) {
			return 0, err
		}
		if waited := us.cfg.Mirror.Wait(ctx, revision); waited != nil || err == nil {
			return revision, waited
		}
	}
	return 0, fault.New(fault.Conflict, "others change users, roles or tokens all the time").WithFix("try again")
}

// given returns GRANT_EXCEEDS if the caller does not hold all that somebody would get
// by a user or a role.
func (us *Users) given(ctx context.Context, noun access.Noun, name, whom string, set access.Set) error {
	r, err := access.Caller(ctx)
	if err != nil {
		return err
	}
	for _, g := range set {
		if !r.Holds(g) {
			us.cfg.Denied(ctx, "grant", access.NounWord(noun), name, fault.GrantExceeds)
			return fault.New(fault.GrantExceeds, "%s would get the grant %q, which %s does not hold", whom, g, r.Name).
				With("grant", g.String()).WithFix("ask somebody who holds it")
		}
	}
	return nil
}

// days writes a duration in days, as people ask for it, if it is one of whole days.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day != 0 {
		return d.String()
	}
	return strconv.FormatInt(int64(d/day), 10) + "d"
}

// lifetime returns how long something lives.
func lifetime(asked, otherwise, limit time.Duration) (time.Duration, error) {
	switch d := cmp.Or(asked, otherwise); {
	case d < 0:
		return 0, fault.New(fault.RequestInvalid, "a lifetime of %s is over already", d).WithFix("ask for a time from now")
	case d > limit:
		return 0, fault.New(fault.RequestInvalid, "a lifetime of %s is longer than the limit of %s", days(d), days(limit)).With("limit", limit, "actual", d).WithFix("ask for less")
	default:
		return d, nil
	}
}
