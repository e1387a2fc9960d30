package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/store/records"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// Job returns the leader's job that removes old records.
func (a *Audit) Job() jobs.Job {
	return jobs.Job{
		Name: "trim-audit", Description: fmt.Sprintf("Remove records of the audit that are older than %d days, and those beyond the newest %d.", a.cfg.Keep/(24*time.Hour), a.cfg.Most),
		Interval: a.cfg.Interval,
		Run: func(ctx context.Context, turn *jobs.Turn) (string, error) {
			removed, err := a.cfg.Records.Trim(ctx, turn.Fence, records.Keep{Since: time.Now().Add(-a.cfg.Keep), Most: a.cfg.Most}, turn.DryRun)
			if err != nil {
				return "", err
			}
			did := "removed"
			if turn.DryRun {
				did = "would remove"
			}
			return fmt.Sprintf("%s %s", did, text.Count(int(removed), "record")), nil
		},
	}
}
