package collect

import (
	"context"
	"fmt"
	"time"

	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// maxCordonInterval is how long the record of a cordon that has expired is kept
// at most. Cores ignore it all the same.
const maxCordonInterval = 5 * time.Minute

// cordons removes those that have expired.
func (c *collector) cordons(ctx context.Context, turn *jobs.Turn) (string, error) {
	all, err := c.store.ListCordons(ctx)
	if err != nil {
		return "", err
	}
	removed := 0
	for _, one := range all {
		if !store.CordonExpired(one, time.Now()) {
			continue
		}
		done := true
		if !turn.DryRun {
			if done, err = c.store.ExpireCordon(ctx, turn.Fence, one); err != nil {
				return "", err
			}
		}
		if done { // otherwise somebody has just changed it
			removed++
			turn.Remove("cordon", one.GetRunner(), 0)
		}
	}
	return fmt.Sprintf("%s %s; %d stay", did(turn), text.Count(removed, "cordon"), len(all)-removed), nil
}
