package leader

import (
	"context"
	"maps"
	"slices"
	"time"

	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// yieldTimeout bounds how long Yield waits for the next leader. A leader that
// does not hear the order loses its lease by then.
const yieldTimeout = 10 * time.Second

// Yield has the leader hand over, whichever core that is: to the core with an
// id, or to any other if that is empty. It returns the next leader and the id of
// the one before, which are the same if that core leads already.
//
// Errors: NO_LEADER; CORE_NOT_FOUND; NO_SUCCESSOR if there is no other core, or
// none has taken over in time, or another one has; CONFLICT; the store's.
func (e *Elector) Yield(ctx context.Context, to string) (next *ruedov1.Leader, previous string, err error) {
	now := e.cfg.Mirror.Snapshot()
	was := e.Leader()
	if was == nil {
		return nil, "", NoLeader()
	}
	if to != "" && now.Cores[to] == nil {
		return nil, "", fault.New(fault.CoreNotFound, "there is no core %q", to).
			WithFix("%s", suggest.Or(to, slices.Collect(maps.Keys(now.Cores)), "list the cores"))
	}
	if to == was.GetCore() {
		return was, to, nil
	}
	others := 0
	for id := range now.Cores {
		if id != was.GetCore() {
			others++
		}
	}
	if others == 0 {
		return nil, "", fault.New(fault.NoSuccessor, "core %s is the only one, so no other can lead", was.GetCore()).WithFix("start another core first")
	}
	if err := e.cfg.Store.OrderHandover(ctx, &storev1.Handover{Term: was.GetTerm(), From: was.GetCore(), To: to}); err != nil {
		return nil, "", err
	}
	next, err = e.after(ctx, was.GetTerm())
	switch {
	case err != nil && ctx.Err() == nil:
		return nil, "", fault.New(fault.NoSuccessor, "no other core has taken over from core %s within %s", was.GetCore(), yieldTimeout).
			WithFix("see which core leads, and the state of the others")
	case err != nil:
		return nil, "", ctx.Err()
	case to != "" && next.GetCore() != to:
		return nil, "", fault.New(fault.NoSuccessor, "core %s did not take over, core %s did", to, next.GetCore()).
			WithFix("look at the state of core %s, then try again", to)
	}
	return next, was.GetCore(), nil
}

// after returns the first leader that it sees after a term.
func (e *Elector) after(ctx context.Context, term int64) (*ruedov1.Leader, error) {
	ctx, cancel := context.WithTimeout(ctx, yieldTimeout)
	defer cancel()
	for {
		changed := e.cfg.Mirror.Changed()
		if l := e.cfg.Mirror.Snapshot().Leader(); l.GetTerm() > term {
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// NoLeader returns NO_LEADER.
func NoLeader() error {
	return fault.New(fault.NoLeader, "no core leads the cluster at present").
		WithFix("try again in a few seconds; if it lasts, look at the status of the cores")
}
