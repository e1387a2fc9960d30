package login

import (
	"context"
	"time"

	"github.com/ruedo-dev/ruedo/core/auth/limit"
	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// attemptsPerAddress and attemptsPerUser bound the logins of a user in a minute,
	// from one address and from all of them, and failuresPerAddress those of all users
	// from one address that fail.
	attemptsPerAddress = 5
	attemptsPerUser    = 30
	failuresPerAddress = 10
)

// triesPerNetwork is how many logins there can be in a minute from an address, and from
// the networks around it, until others go first.
var triesPerNetwork = [...]int{10, 30, 100}

// attempts are the logins that somebody has tried lately.
type attempts struct {
	// byAddress and byUser limit them, and failures those that fail.
	byAddress, byUser, failures *limit.Limiter
	// tries tell which networks are insistent, the narrowest first. known are those of
	// earlier logins.
	tries [len(triesPerNetwork)]*limit.Limiter
	known limit.Recent
}

func newAttempts() *attempts {
	a := &attempts{
		byAddress: limit.New(attemptsPerAddress, time.Minute), byUser: limit.New(attemptsPerUser, time.Minute),
		failures: limit.New(failuresPerAddress, time.Minute),
	}
	for i, n := range triesPerNetwork {
		a.tries[i] = limit.New(n, time.Minute)
	}
	return a
}

// begin counts a login of a user from an address, whether or not there is such a user.
// LOGIN_LIMIT.
func (a *attempts) begin(user, from string) *fault.Error {
	network := limit.Network(from)
	// This comes first, so that whoever guesses at many users locks out none of them.
	if wait, ok := a.failures.Would(network); !ok {
		return fault.New(fault.LoginLimit, "too many logins from this address have failed").WithRetry(wait).WithFix("wait a minute, then try again")
	}
	wait, ok := a.byAddress.Allow(user + " " + network)
	if ok {
		wait, ok = a.byUser.Allow(user)
	}
	if !ok {
		return fault.New(fault.LoginLimit, "too many attempts to log in as this user").WithRetry(wait).WithFix("wait a minute, then try again")
	}
	return nil
}

// failed counts a login from an address that has failed.
func (a *attempts) failed(from string) { a.failures.Allow(limit.Network(from)) }

// succeeded remembers that somebody has logged in from an address.
func (a *attempts) succeeded(from string) { a.known.Add(limit.Network(from)) }

// rank returns how soon a password is hashed. It does not depend on the user: how long a
// login waits must not say who exists.
func (a *attempts) rank(r *access.Request) password.Rank {
	if r.Name != access.Anonymous || a.known.Has(limit.Network(r.From)) {
		return password.Known
	}
	for i, network := range limit.Networks(r.From) {
		if _, ok := a.tries[i].Allow(network); !ok {
			return password.Insistent
		}
	}
	return password.Stranger
}

// matches returns nil if a password is right. known is the name if there is such a
// user.
func (l *Login) matches(ctx context.Context, action, user, known, pass, hash string) error {
	r, err := access.Caller(ctx)
	if err != nil {
		return err
	}
	if e := l.attempts.begin(user, r.From); e != nil {
		return l.refused(ctx, action, known, e)
	}
	good, err := l.passwords.Matches(ctx, pass, hash, l.attempts.rank(r))
	switch {
	case err != nil:
		if e := fault.FromError(err); e.Reason == fault.LoginLimit {
			return l.refused(ctx, action, known, e)
		}
		return err
	case !good:
		l.attempts.failed(r.From)
		return l.refused(ctx, action, known, wrong())
	}
	return nil
}

// wrong is the one answer to a login that fails.
func wrong() *fault.Error {
	return fault.New(fault.Unauthenticated, "the name of the user or the password is wrong").WithFix("type both again, or ask an administrator for an invite")
}
