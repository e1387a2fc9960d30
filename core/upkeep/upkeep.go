// Package upkeep is the leader's job that returns unused space of the store to
// its members' disks, and so to their quota.
//
// A member answers nothing while it is defragmented. So this is done one member
// after the other, only if it is worth it, and only while all members answer: a
// store of three with one away would wait for the one that is busy.
package upkeep

import (
	"context"
	"fmt"
	"time"

	"github.com/ruedo-dev/ruedo/core/jobs"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// A member is defragmented if its file has at least minSize bytes and a quarter
// of it, or more, is unused. etcd compacts on its own, so what is dead is unused
// within minutes.
const minSize = 64 << 20

// Members are the members of the store; they are a members.Members.
type Members interface {
	List(ctx context.Context) ([]*ruedov1.Member, string, error)
	Compact(ctx context.Context) (version int64, done []*ruedov1.CompactedMember, err error)
}

// Job returns the job. It writes no key, so it needs no fence: it ends with the
// leadership, and compacting a member twice does no harm.
func Job(m Members, interval time.Duration) jobs.Job {
	return jobs.Job{
		Name:        "compact-store",
		Description: "Compact the store and defragment its members, one after the other, when a quarter of a file is unused.",
		Interval:    interval,
		Run: func(ctx context.Context, turn *jobs.Turn) (string, error) {
			worth, why, err := look(ctx, m)
			if err != nil || len(worth) == 0 {
				return why, err
			}
			if turn.DryRun {
				for _, w := range worth {
					turn.Remove("unused space of member", w.GetName(), w.GetStatus().GetSizeBytes()-w.GetStatus().GetUsedBytes())
				}
				return "would compact the store and defragment " + why, nil
			}
			_, done, err := m.Compact(ctx)
			if err != nil {
				return "", err
			}
			return report(turn, done), nil
		},
	}
}

// look returns the members that are worth it. If there is none, or if not all
// members answer, it returns none and says why.
func look(ctx context.Context, m Members) (worth []*ruedov1.Member, why string, err error) {
	list, _, err := m.List(ctx)
	if err != nil {
		return nil, "", err
	}
	var size, used uint64
	for _, member := range list {
		s := member.GetStatus()
		if s == nil {
			return nil, "nothing now: member " + member.GetName() + " does not answer", nil
		}
		size, used = max(size, s.GetSizeBytes()), max(used, s.GetUsedBytes())
		if s.GetSizeBytes() >= minSize && s.GetUsedBytes() <= s.GetSizeBytes()/4*3 {
			worth = append(worth, member)
		}
	}
	what := fmt.Sprintf("%s: %s of %s are in use", text.Count(len(list), "member"), text.Size(used), text.Size(size))
	if len(worth) == 0 {
		return nil, "nothing to do for " + what, nil
	}
	return worth, what, nil
}

func report(turn *jobs.Turn, done []*ruedov1.CompactedMember) string {
	n, freed, failed := 0, uint64(0), ""
	for _, d := range done {
		if d.GetError() != "" {
			failed += "; member " + d.GetName() + " failed: " + d.GetError()
			continue
		}
		bytes := d.GetBeforeBytes() - min(d.GetBeforeBytes(), d.GetAfterBytes())
		n, freed = n+1, freed+bytes
		turn.Remove("unused space of member", d.GetName(), bytes)
	}
	return fmt.Sprintf("defragmented %s, %s became free%s", text.Count(n, "member"), text.Size(freed), failed)
}
