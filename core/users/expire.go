package users

import (
	"context"
	"fmt"
	"time"

	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/users/holdings"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// expireInterval is how often tokens that are over are deleted, at least. They are
// not good all the same.
const expireInterval = 10 * time.Minute

// Job returns the leader's job that deletes tokens that are over: they have expired,
// or ended together with others. Invites that have expired need no job.
func (us *Users) Job() jobs.Job {
	return jobs.Job{
		Name:        "expire-tokens",
		Description: "Remove tokens and sessions that have expired or ended.",
		Interval:    expireInterval,
		Run:         us.expire,
	}
}

func (us *Users) expire(ctx context.Context, turn *jobs.Turn) (string, error) {
	v, now := us.View(), time.Now()
	var over []principals.Seen
	for id, t := range v.Tokens {
		unknown := v.Users[t.GetToken().GetUser()] == nil && v.Fault(keys.KindUser, t.GetToken().GetUser()) != nil
		if !v.Good(t, now) && !unknown {
			over = append(over, holdings.SeenToken(id, t))
		}
	}
	removed := 0
	for from := 0; from < len(over); from += principals.MaxBatch {
		batch := over[from:min(from+principals.MaxBatch, len(over))]
		if !turn.DryRun {
			done, err := us.cfg.Store.Expire(ctx, turn.Fence, batch)
			if err != nil {
				return "", err
			}
			if !done { // one has changed; the others are for the next time
				continue
			}
		}
		for _, s := range batch {
			turn.Remove("token", s.Name, 0)
		}
		removed += len(batch)
	}
	did := "removed"
	if turn.DryRun {
		did = "would remove"
	}
	return fmt.Sprintf("%s %s; %d stay", did, text.Count(removed, "token"), len(v.Tokens)-removed), nil
}
