package password

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Rank is whose passwords are hashed first. Of each rank but the first, only one waits
// among those of the rank before.
type Rank int

const (
	// Known are those about whom something good is known. They wait for no rests.
	Known Rank = iota
	// Stranger are all others.
	Stranger
	// Insistent are strangers who try often.
	Insistent
)

const (
	// maxWaiting bounds the passwords of a rank that wait, and maxWait for how long.
	maxWaiting = 16
	maxWait    = 5 * time.Second
)

// line is a queue for one place.
type line struct {
	place   chan struct{}
	waiting atomic.Int64
}

// enter waits for the place. LOGIN_LIMIT if too many wait already; ctx's cause.
func (l *line) enter(ctx context.Context) error {
	select {
	case l.place <- struct{}{}:
		return nil
	default:
	}
	if l.waiting.Add(1) > maxWaiting {
		l.waiting.Add(-1)
		return tooMany("%d logins wait for this core already", maxWaiting).With("limit", maxWaiting)
	}
	defer l.waiting.Add(-1)
	select {
	case l.place <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *line) leave() { <-l.place }

// tooMany returns LOGIN_LIMIT.
func tooMany(format string, args ...any) *fault.Error {
	return fault.New(fault.LoginLimit, format, args...).WithFix("try again in a moment, or from an address from which somebody has logged in recently")
}
