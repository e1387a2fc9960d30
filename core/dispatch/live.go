package dispatch

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ruedo-dev/ruedo/core/dispatch/conduct"
	"github.com/ruedo-dev/ruedo/core/dispatch/load"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

// live is the set of members that accept calls, as of one version. Ejected
// ones are members only if too many are.
type live struct {
	version uint64
	members []*member
	// out are those that are ejected.
	out []*member
	// cordoned are those that accept calls and are cordoned.
	cordoned []cordoned
}

// member is a Member and what the dispatcher knows about it.
type member struct {
	Member

	// doubted is true if its answers have to be judged: it has failed, or was
	// taken back on trial.
	doubted atomic.Bool

	// Guarded by Dispatcher.mu.
	silent    int  // unanswered calls in a row
	score     int  // of failures that are its own; see maxScore
	trial     bool // it was ejected and has not answered a call since
	record    *conduct.Record
	prepared  map[string]bool
	failures  map[string]failure
	asked     map[string]int // preparations in flight for publishes, by plan
	late      int            // how many of these no publish waits for any more
	preparing bool
	probing   bool
	gone      bool // removed

	wake   chan struct{}   // SetPlans was called while it prepares
	ctx    context.Context // ends when the member is removed
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// rotation decides whose turn it is for one plan, and executes the calls of it.
type rotation struct {
	d          *Dispatcher
	placement  *labels.Selector // of the members that may execute the plan; nil means any
	turn       atomic.Uint64
	load       load.Load
	candidates atomic.Pointer[candidates]
}

// maxRotations bounds the rotations that are retained for plans that are not live.
const maxRotations = 1 << 14

// Add adds a runner. Call remove to remove it again, which stops its
// preparations; further calls do nothing.
func (d *Dispatcher) Add(m Member) (remove func()) {
	n := &member{Member: m, prepared: make(map[string]bool), failures: make(map[string]failure), asked: make(map[string]int), wake: make(chan struct{}, 1)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	d.mu.Lock()
	defer d.mu.Unlock()
	n.record = d.records.Attach(m.Info().GetId())
	d.members = append(slices.Clip(d.members), n)
	d.refreshSnapshot()
	d.schedulePrepare(n)
	d.startProbe(n)
	return func() {
		d.mu.Lock()
		if !n.gone {
			d.left(n)
		}
		n.gone = true
		d.members = slices.DeleteFunc(slices.Clone(d.members), func(o *member) bool { return o == n })
		d.refreshSnapshot()
		d.mu.Unlock()
		n.cancel()
		n.wg.Wait()
	}
}

// Close stops the background work and waits for it. Calls still work.
func (d *Dispatcher) Close() {
	d.mu.Lock()
	d.closed = true
	ms := d.members
	d.mu.Unlock()
	for _, m := range ms {
		m.cancel()
		m.wg.Wait()
	}
}

// refreshSnapshot makes the current state visible to calls. It leaves out
// runners that are ejected, but at most half of all: an answer from them is
// unlikely, but without them it may be impossible. It leaves out all that are
// cordoned. The caller holds d.mu.
func (d *Dispatcher) refreshSnapshot() {
	l := &live{version: d.live.Load().version + 1}
	var out []*member
	for _, m := range d.members {
		switch {
		case !m.Ready():
		case d.cordoned(m):
			l.cordoned = append(l.cordoned, cordoned{m, d.cordons[m.Info().GetId()]})
		case m.record.Out:
			out = append(out, m)
		default:
			l.members = append(l.members, m)
		}
	}
	if len(out) > 0 {
		back := atMostHalf(out, len(l.members))
		l.members, l.out = append(l.members, back...), out[len(back):]
	}
	d.live.Store(l)
	if len(l.members) > 0 {
		d.start.arrived()
	}
}

// chooseAgain makes the rotations choose their candidates again, from the same
// members: one of them has prepared a plan. The caller holds d.mu.
func (d *Dispatcher) chooseAgain() {
	l := *d.live.Load()
	l.version++
	d.live.Store(&l)
}

// next returns the member whose turn it is, and those that share the plan with
// it; nil if none is ready.
func (d *Dispatcher) next(rot *rotation, plan string) (*member, *candidates) {
	for range 8 {
		c := d.candidates(rot, plan)
		n := uint64(len(c.members))
		if n == 0 {
			return nil, c
		}
		if m := c.members[(rot.turn.Add(1)-1)%n]; m.Ready() {
			return m, c
		}
		// It drains or is gone. Remove it from all rotations, so that its turns
		// are shared and do not all fall to its neighbour.
		d.refresh(c.version)
	}
	c := d.candidates(rot, plan)
	return c.other(nil), c
}

// rotation returns the rotation of a plan. placement says where the plan may be executed;
// that never changes, because the placement is a part of the plan.
func (d *Dispatcher) rotation(plan string, placement *labels.Selector) *rotation {
	if r, ok := d.rotations.Load(plan); ok {
		return r.(*rotation)
	}
	n := d.started.Add(1)
	if n%maxRotations == 0 { // those of plans that are not live come back with the next call
		d.mu.Lock()
		for id := range d.rotations.Range {
			if d.plans[id.(string)] == nil {
				d.rotations.Delete(id)
			}
		}
		d.mu.Unlock()
	}
	if d.anyPlacement {
		placement = nil
	}
	r := &rotation{d: d, placement: placement}
	r.turn.Store(n) // so that plans begin with different runners
	got, _ := d.rotations.LoadOrStore(plan, r)
	return got.(*rotation)
}

// candidates returns the members that the plan's calls rotate over. It costs
// one comparison as long as nothing has changed.
func (d *Dispatcher) candidates(rot *rotation, plan string) *candidates {
	if c := rot.candidates.Load(); c != nil && c.version == d.live.Load().version {
		return c
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := choose(d.live.Load(), plan, rot.placement, d.zone)
	if c.same(d.chosen) {
		c = d.chosen
	}
	d.chosen = c
	rot.candidates.Store(c)
	return c
}

// refresh removes members that are no longer ready from the rotations, unless
// that has been done since the version that was seen.
func (d *Dispatcher) refresh(seen uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live.Load().version == seen {
		d.refreshSnapshot()
	}
}
