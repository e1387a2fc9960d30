package dispatch

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ruedo-dev/ruedo/core/dispatch/conduct"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

const (
	// forgetAfter is how long the dispatcher remembers which members have
	// prepared a plan that is not live: one that is being published, or was
	// just replaced.
	forgetAfter = 10 * time.Minute
	// prepareTimeout is how long a runner has to prepare one plan.
	prepareTimeout = 2 * time.Minute
	// maxAttempts is how often preparing in the background is tried. After that
	// the plan is prepared on demand.
	maxAttempts = 5
)

// plan is a plan that the dispatcher knows about.
type plan struct {
	req       *runnerv1.PrepareRequest
	placement *labels.Selector // of the members that may execute it; nil means any
	live      bool
	until     time.Time // when the plan is forgotten if it is not live
}

// accepts reports whether a member may execute the plan.
func (p *plan) accepts(m *member) bool { return p.placement.Matches(m.Info().GetLabels()) }

// failure is why a member could not prepare a plan, and how often it tried.
type failure struct {
	count int
	err   *fault.Error // of the last time
}

func (d *Dispatcher) prepareOn(ctx context.Context, m *member, req *runnerv1.PrepareRequest) (*ruedov1.Preparation, error) {
	res, err := m.Prepare(ctx, req)
	if err != nil {
		if d.cfg.Unprepared != nil && ctx.Err() == nil && conduct.BlameFor(err) != conduct.Nobody {
			d.cfg.Unprepared(m.Info().GetId(), req.GetPlan().GetService(), fault.FromError(err))
		}
		return &ruedov1.Preparation{Runner: m.Info().GetId(), Error: fault.FromError(err).Error()}, err
	}
	p := res.GetPreparation()
	if p == nil {
		p = &ruedov1.Preparation{}
	}
	p.Runner = m.Info().GetId()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !m.prepared[req.Id] {
		m.prepared[req.Id] = true
		d.chooseAgain()
	}
	delete(m.failures, req.Id)
	return p, nil
}

// SetPlans sets the plans that are live. Runners prepare those that they lack
// in the background, one after the other. A plan that is no longer live is
// remembered for a while, so that calls to a plan that was just replaced still
// go to runners on which it is warm.
func (d *Dispatcher) SetPlans(reqs []*runnerv1.PrepareRequest) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.plans {
		if p.live {
			p.live, p.until = false, now.Add(forgetAfter)
		}
	}
	for _, req := range reqs {
		d.remember(req, true)
	}
	for id, p := range d.plans {
		if !p.live && now.After(p.until) {
			delete(d.plans, id)
			for _, m := range d.members {
				delete(m.prepared, id)
				delete(m.failures, id)
			}
		}
	}
	for _, m := range d.members {
		d.schedulePrepare(m)
	}
}

// remember records a plan and returns it. The caller holds d.mu.
func (d *Dispatcher) remember(req *runnerv1.PrepareRequest, live bool) *plan {
	p := d.plans[req.Id]
	if p == nil {
		p = &plan{placement: d.parsePlacement(req)}
		d.plans[req.Id] = p
	}
	p.req, p.live = req, p.live || live
	p.until = time.Now().Add(forgetAfter)
	return p
}

// schedulePrepare makes a member prepare the plans that it lacks, one after the
// other. The caller holds d.mu.
func (d *Dispatcher) schedulePrepare(m *member) {
	if m.preparing {
		select {
		case m.wake <- struct{}{}:
		default:
		}
		return
	}
	if d.closed || m.gone || m.ctx.Err() != nil || len(d.lacking(m, nil)) == 0 {
		return
	}
	m.preparing = true
	m.wg.Go(func() { d.prepareMissing(m) })
}

// lacking returns the live plans that a member has yet to prepare, those with
// the fewest failures first. It looks at all plans only if the member lacks none
// of those that it lacked before. The caller holds d.mu.
func (d *Dispatcher) lacking(m *member, before []*runnerv1.PrepareRequest) []*runnerv1.PrepareRequest {
	if !m.Ready() || d.cordoned(m) {
		return nil
	}
	lacks := func(id string, p *plan) bool {
		return p != nil && p.live && p.accepts(m) && !m.prepared[id] && m.asked[id] == 0 && m.failures[id].count < maxAttempts
	}
	for i, req := range before {
		if lacks(req.Id, d.plans[req.Id]) {
			return before[i:]
		}
	}
	var reqs []*runnerv1.PrepareRequest
	for id, p := range d.plans {
		if lacks(id, p) {
			reqs = append(reqs, p.req)
		}
	}
	slices.SortFunc(reqs, func(a, b *runnerv1.PrepareRequest) int {
		return cmp.Or(cmp.Compare(m.failures[a.Id].count, m.failures[b.Id].count), cmp.Compare(a.Id, b.Id))
	})
	return reqs
}

// prepareMissing prepares plans on a member until it lacks none. There may be
// thousands, so it does not look for them each time.
func (d *Dispatcher) prepareMissing(m *member) {
	var reqs []*runnerv1.PrepareRequest
	for {
		select {
		case <-m.wake:
			reqs = nil
		default:
		}
		d.mu.Lock()
		reqs = d.lacking(m, reqs)
		if len(reqs) == 0 || m.ctx.Err() != nil {
			m.preparing = false
			d.mu.Unlock()
			return
		}
		req := reqs[0]
		failed := m.failures[req.Id].count
		d.mu.Unlock()

		if failed > 0 {
			select {
			case <-time.After(time.Second << failed):
			case <-m.wake: // there may be a new plan, which comes first
				reqs = nil
				continue
			case <-m.ctx.Done():
				continue
			}
		}
		ctx, cancel := context.WithTimeout(m.ctx, prepareTimeout)
		_, err := d.prepareOn(ctx, m, req)
		cancel()
		if err == nil || m.ctx.Err() != nil {
			continue
		}
		d.unprepared(m, req, err)
		reqs = reqs[1:] // the others come first
	}
}

// unprepared records that a member could not prepare a plan, and logs it once.
func (d *Dispatcher) unprepared(m *member, req *runnerv1.PrepareRequest, err error) {
	d.mu.Lock()
	failed := failure{m.failures[req.Id].count + 1, fault.FromError(err)}
	first := failed.count == 1
	switch conduct.BlameFor(err) {
	case conduct.Plan:
		failed.count = maxAttempts // it would fail the same way again
	case conduct.Machine, conduct.Nobody:
		failed.count = min(failed.count, maxAttempts-1) // it may succeed at any time
	}
	m.failures[req.Id] = failed
	d.mu.Unlock()
	if first {
		d.log.Warn("runner cannot prepare a plan", "runner", m.Info().GetId(), "service", req.GetPlan().GetService(), "plan", req.Id, "error", fault.FromError(err))
	}
}

// Prepared returns how many runners have prepared a plan and accept calls. If
// there is none, the error says why: NO_RUNNER if none that may execute the plan
// is ready, or why a runner could not prepare it. It is nil if runners have yet
// to try.
func (d *Dispatcher) Prepared(id string) (runners int, err *fault.Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ready := false
	p := d.plans[id]
	if p == nil {
		p = &plan{}
	}
	for _, m := range d.members {
		if !m.Ready() || d.cordoned(m) || !p.accepts(m) {
			continue
		}
		ready = true
		failed := m.failures[id]
		switch {
		case m.prepared[id]:
			runners++
		case failed.err != nil && (err == nil || conduct.BlameFor(failed.err) < conduct.BlameFor(err)):
			err = failed.err
		}
	}
	switch {
	case runners > 0:
		return runners, nil
	case !ready:
		return 0, d.noRunner(p.placement, nil)
	}
	return 0, err
}
