package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet/roster"
)

// DefaultTTL is how long the entries of a process that has died remain.
const DefaultTTL = 5 * time.Second

// DefaultOpTimeout bounds one operation on the store.
const DefaultOpTimeout = 2 * time.Second

// Membership is an entry in the store that lives as long as its holder. Its
// methods can be called from many goroutines.
type Membership struct {
	key    string
	member *roster.Member
}

// Close ends the membership. If it returns nil, the entry is gone, unless another
// membership holds it. If it returns an error, the entry disappears as soon as the
// store answers, or when the lease of this process runs out. Further calls do
// nothing.
func (m *Membership) Close(ctx context.Context) error {
	return TranslateError(ctx, m.member.Leave(ctx), "remove "+m.key)
}

// refusal returns why an entry cannot be written; nil if it can be later: a store
// that is full or does not answer is not a failure.
func refusal(ctx context.Context, key string, err error) error {
	err = TranslateError(ctx, err, "register "+key)
	if !refused(err) && (errors.Is(err, fault.StoreFull) || errors.Is(err, fault.StoreUnavailable)) {
		return nil
	}
	return err
}
