package dispatch

import (
	"cmp"
	"slices"

	"github.com/ruedo-dev/ruedo/core/dispatch/load"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

// candidates are the members that a plan's calls rotate over, as of one
// version.
type candidates struct {
	version uint64
	members []*member
	// rest are the other members that may execute the plan, the preferred ones
	// first. They are for second attempts.
	rest     []*member
	capacity load.Capacity // of members
}

// choose returns the candidates for a plan: of the members that meet its
// placement, those that have prepared it, and of these the ones in the zone. If
// none has prepared it, those in the zone come before others. The caller holds
// Dispatcher.mu.
func choose(l *live, plan string, placement *labels.Selector, zone string) *candidates {
	c := &candidates{version: l.version}
	eligible := matching(l.members, placement)
	if len(eligible) == 0 {
		eligible = matching(l.out, placement)
	}
	best := 0
	ranks := make([]int, len(eligible))
	for i, m := range eligible {
		ranks[i] = m.rank(plan, zone)
		best = max(best, ranks[i])
	}
	for i, m := range eligible {
		if ranks[i] == best {
			c.members = append(c.members, m)
		} else {
			c.rest = append(c.rest, m)
		}
	}
	slices.SortStableFunc(c.rest, func(a, b *member) int { return cmp.Compare(b.rank(plan, zone), a.rank(plan, zone)) })
	c.capacity = capacity(c.members)
	return c
}

// same reports whether other candidates are the same: most plans share theirs.
func (c *candidates) same(other *candidates) bool {
	return other != nil && other.version == c.version && slices.Equal(other.members, c.members) && slices.Equal(other.rest, c.rest)
}

// rank returns how well a member suits a plan. A cold start costs more than the
// way to another zone, so what is prepared counts more than what is near.
func (m *member) rank(plan, zone string) int {
	rank := 0
	if m.prepared[plan] {
		rank += 2
	}
	if zone != "" && m.Info().GetLabels()[labels.Zone] == zone {
		rank++
	}
	return rank
}

// matching returns the members that a placement allows.
func matching(members []*member, placement *labels.Selector) []*member {
	if placement.Empty() {
		return members
	}
	var found []*member
	for _, m := range members {
		if placement.Matches(m.Info().GetLabels()) {
			found = append(found, m)
		}
	}
	return found
}

// capacity returns how many calls of one plan can be in flight on the members, and
// how many of these execute.
func capacity(members []*member) load.Capacity {
	var concurrency, queue int64
	for _, m := range members {
		info := m.Info()
		concurrency += int64(info.GetConcurrency())
		queue += int64(info.GetQueue())
	}
	return load.Capacity{Limit: executor.ServiceShare(concurrency, queue), Slots: concurrency}
}

// other returns a ready member other than first: one that shares the plan if
// possible, otherwise one that may execute it.
func (c *candidates) other(first *member) *member {
	i := slices.Index(c.members, first)
	for k := range c.members {
		if m := c.members[(i+1+k)%len(c.members)]; m != first && m.Ready() {
			return m
		}
	}
	for _, m := range c.rest {
		if m != first && m.Ready() {
			return m
		}
	}
	return nil
}

// parsePlacement returns where a plan may be executed. Plans are made of
// revisions whose placement was parsed when they were published.
func (d *Dispatcher) parsePlacement(req *runnerv1.PrepareRequest) *labels.Selector {
	if d.anyPlacement {
		return nil
	}
	placement, err := labels.ParseSelector(req.GetPlan().GetPlacement())
	if err != nil {
		return labels.Nothing() // a newer core wrote it, which knows more
	}
	return placement
}
