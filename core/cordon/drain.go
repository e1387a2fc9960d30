package cordon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// patience is how long a core waits until it has seen a cordon.
const patience = 2 * time.Second

// Drain returns how many calls a runner has in flight: those of all cores, or
// only of this one if the request says so. A core counts only once it heeds the
// cordon with the version of the request, because before that it can still send
// calls.
//
// A runner without calls may get one more that was on its way to it while the
// cores counted. So it is drained when two answers in a row say so.
//
// Errors: RUNNER_NOT_FOUND; ctx's, if this core does not see the version in time.
func (c *Cordons) Drain(ctx context.Context, req *ruedov1.GetDrainRequest) (*ruedov1.GetDrainResponse, error) {
	if req.GetLocal() {
		mine, err := c.mine(ctx, req.GetRunner(), req.GetVersion())
		if err != nil {
			return nil, err
		}
		return &ruedov1.GetDrainResponse{Runner: req.GetRunner(), ActiveCalls: mine.GetActiveCalls(), Cores: []*ruedov1.DrainingCore{mine}}, nil
	}
	runner, err := c.find(ctx, req.GetRunner())
	if err != nil {
		return nil, err
	}
	id := runner.GetId()
	mine, err := c.mine(ctx, id, req.GetVersion())
	if err != nil {
		return nil, err
	}
	s := c.cfg.Mirror.Snapshot()
	res := &ruedov1.GetDrainResponse{Runner: id, Cores: []*ruedov1.DrainingCore{mine}, Away: s.Runners[id] == nil && !mine.GetAttached(), Cordon: c.Active()[id]}
	answers := c.cfg.Peers.Drain(ctx, s.Cores, id, req.GetVersion())
	for other := range s.Cores {
		if other == c.cfg.Self {
			continue
		}
		one := &ruedov1.DrainingCore{Core: other, Unreachable: true}
		if a := answers[other]; len(a.GetCores()) == 1 {
			one = a.GetCores()[0]
			one.Core = other
		}
		res.Cores = append(res.Cores, one)
		res.Away = res.Away && !one.GetAttached()
	}
	slices.SortFunc(res.Cores, func(a, b *ruedov1.DrainingCore) int { return strings.Compare(a.GetCore(), b.GetCore()) })
	for _, one := range res.Cores {
		res.ActiveCalls += one.GetActiveCalls()
	}
	c.observe(res)
	return res, nil
}

// mine returns the calls of this core that are in flight on a runner, once it
// heeds a version of its cordon.
func (c *Cordons) mine(ctx context.Context, runner string, version int64) (*ruedov1.DrainingCore, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.cfg.Mirror.Reach(ctx, version); err != nil {
		return nil, err
	}
	c.apply()
	one := &ruedov1.DrainingCore{Core: c.cfg.Self}
	for _, m := range c.cfg.Dispatcher.Members() {
		if m.Info().GetId() == runner {
			one.Attached = true
			one.ActiveCalls += uint32(m.Active())
		}
	}
	return one, nil
}

// missing returns the error for a name that no runner has. It suggests what the
// request of a context may read.
func missing(ctx context.Context, name string, all map[string]*ruedov1.Runner) error {
	may := access.Visible(ctx, access.Runner)
	known := slices.DeleteFunc(slices.Collect(maps.Keys(all)), func(id string) bool { return !may(id) })
	return fault.New(fault.RunnerNotFound, "there is no runner %q", short(name)).
		WithFix("%s", suggest.Or(name, known, "list the runners"))
}

// ambiguous returns the error for a name that several runners have.
func ambiguous(name string, ids []string) error {
	return fault.New(fault.RunnerNotFound, "%s are named %q: %s", text.Count(len(ids), "runner"), short(name), text.List(ids[:min(len(ids), 5)], len(ids))).
		WithFix("use an id instead of the name")
}

// short cuts a name that nobody has.
func short(name string) string { return fmt.Sprintf("%.80s", name) }
