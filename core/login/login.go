// Package login is the front door: it makes sessions of passwords and invites.
//
//	l := login.New(login.Config{Users: users, Store: principals, ...})
//	session, secret, err := l.Login(ctx, "ada", password)
//
// A session is a token; package users keeps those, and package auth says who a request
// is of, by what is kept there.
//
// # Attempts
//
// Whatever is wrong with a login, it costs the same work and has the same answer. How
// many there can be is bounded by user and by address, and who is known goes first; see
// package password.
package login

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/core/users"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Config configures a Login. All fields are required, unless they say otherwise.
type Config struct {
	// Users keeps those who log in, with their sessions.
	Users *users.Users
	Store interface {
		Link(ctx context.Context, id string) (*storev1.Link, error)
	}
	// Cluster is the id of the cluster, and Version that of the program.
	Cluster, Version string
	// Pin returns the pin of the cluster's authority, "" if it has none. Nil: it has
	// none.
	Pin func() string
	// Denied is called with a login that fails, where name is that of a user who exists.
	// It must not wait. Nil disables it.
	Denied func(ctx context.Context, action, noun, name string, reason fault.Reason)
	// Hasher starts a process that only calls password.Child. Empty: this process hashes
	// passwords itself.
	Hasher []string
}

// Login makes sessions. Its methods can be called from many goroutines. They answer the
// request of their context; see [access.Of].
type Login struct {
	cfg       Config
	users     *users.Users
	passwords *password.Hasher
	attempts  *attempts
}

// New returns a Login. It starts nothing before somebody logs in.
func New(cfg Config) *Login {
	if cfg.Pin == nil {
		cfg.Pin = func() string { return "" }
	}
	if cfg.Denied == nil {
		cfg.Denied = func(context.Context, string, string, string, fault.Reason) {}
	}
	return &Login{cfg: cfg, users: cfg.Users, passwords: password.New(password.Config{Command: cfg.Hasher}), attempts: newAttempts()}
}

// Close ends the processes that hash passwords, and waits for them.
func (l *Login) Close() { l.passwords.Close() }

// as returns a context of a user who has just shown who they are, with a token.
func as(ctx context.Context, user, token string) context.Context {
	r := &access.Request{Principal: &access.Principal{Name: "user/" + user, Token: token}}
	if was := access.Of(ctx); was != nil {
		r.From, r.Via = was.From, was.Via
	}
	return access.With(ctx, r)
}

// refused reports a login that failed, and returns why.
func (l *Login) refused(ctx context.Context, action, user string, e *fault.Error) error {
	l.cfg.Denied(ctx, action, "user", user, e.Reason)
	return e
}
