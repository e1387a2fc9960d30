package dispatch

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/core/dispatch/conduct"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// DefaultSettle is how long a publish waits for more runners once one has
// prepared its plan, or has found that the plan itself is at fault.
const DefaultSettle = 5 * time.Second

// maxAsked bounds the preparations that publishes have in flight on one runner.
// A runner with that many does not answer; asking it for more would only cost
// memory.
const maxAsked = 16

// Preparing returns, by runner, the services that publishes have asked it to
// prepare and that it has not answered for, sorted.
func (d *Dispatcher) Preparing() map[string][]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var by map[string][]string
	for _, m := range d.members {
		for id := range m.asked {
			p := d.plans[id]
			if p == nil {
				continue
			}
			if by == nil {
				by = make(map[string][]string)
			}
			runner := m.Info().GetId()
			by[runner] = append(by[runner], p.req.GetPlan().GetService())
		}
		slices.Sort(by[m.Info().GetId()])
	}
	return by
}

// round is one Prepare: all its runners are asked at the same time.
type round struct {
	d       *Dispatcher
	req     *runnerv1.PrepareRequest
	members []*member
	answers chan answer // has room for all of them
	stop    []func() bool
	cancel  []context.CancelFunc

	// Guarded by Dispatcher.mu.
	late map[*member]bool

	out      []*ruedov1.Preparation // nil until the member has answered
	errs     []error
	waiting  int // members that have not answered
	punctual int // how many of these owe no answer to an earlier round
	overdue  []bool
	decided  bool
}

type answer struct {
	i   int
	p   *ruedov1.Preparation
	err error
}

// Prepare makes all ready runners that may execute a plan prepare it at the same
// time, and returns the preparation of each. It waits until one of them is ready, and then up to
// Settle for the others. It does not wait for runners that still owe an answer
// to an earlier Prepare. If a runner was not waited for, its preparation says
// so. Such a runner goes on in the background and gets calls for the plan when
// it is ready.
//
// It fails with NO_RUNNER if no such runner is ready to be asked, which cordoned
// ones are not. If no runner could
// prepare the plan, the error says why: it has the runner's reason if the plan
// itself is at fault, PREPARE_UNAVAILABLE if the runners were lost or did not
// answer before ctx ended, and PREPARE_FAILED otherwise. The preparations are
// returned as well.
func (d *Dispatcher) Prepare(ctx context.Context, req *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error) {
	r := d.ask(ctx, req)
	if len(r.members) == 0 {
		return nil, d.noRunner(d.parsePlacement(req), nil)
	}
	r.wait(ctx)
	if slices.ContainsFunc(r.out, func(p *ruedov1.Preparation) bool { return p != nil && p.GetError() == "" }) {
		r.leaveBehind()
		return r.out, nil
	}
	return r.out, r.giveUp(ctx)
}

// ask sends the plan to all ready runners that may execute it.
func (d *Dispatcher) ask(ctx context.Context, req *runnerv1.PrepareRequest) *round {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refreshSnapshot()
	p := d.remember(req, false)
	r := &round{d: d, req: req, late: make(map[*member]bool)}
	for _, m := range d.members {
		if m.Ready() && !d.cordoned(m) && p.accepts(m) && m.ctx.Err() == nil && !d.closed {
			r.members = append(r.members, m)
		}
	}
	n := len(r.members)
	r.answers, r.overdue = make(chan answer, n), make([]bool, n)
	r.out, r.errs = make([]*ruedov1.Preparation, n), make([]error, n)
	for i, m := range r.members {
		r.overdue[i] = m.late > 0
		if !r.overdue[i] {
			r.punctual++
		}
		r.waiting++
		inFlight := 0
		for _, n := range m.asked {
			inFlight += n
		}
		if inFlight >= maxAsked {
			err := fault.New(fault.Deadline, "has not answered %d preparations", inFlight)
			r.answers <- answer{i, &ruedov1.Preparation{Runner: m.Info().GetId(), Error: err.Error(), Late: true}, err}
			continue
		}
		m.asked[req.Id]++
		// This ends with the caller's context, until the round leaves it
		// behind.
		mctx, cancel := context.WithTimeout(m.ctx, prepareTimeout)
		r.stop, r.cancel = append(r.stop, context.AfterFunc(ctx, cancel)), append(r.cancel, cancel)
		m.wg.Go(func() {
			defer cancel()
			r.prepare(mctx, i, m)
		})
	}
	return r
}

// prepare asks one runner. When it answers, the caller may no longer be
// waiting.
func (r *round) prepare(ctx context.Context, i int, m *member) {
	p, err := r.d.prepareOn(ctx, m, r.req)
	r.answers <- answer{i, p, err}
	if late := r.over(m); late && err != nil && m.ctx.Err() == nil {
		r.d.unprepared(m, r.req, err)
	}
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	r.d.schedulePrepare(m) // what it did not prepare while this was in flight
}

// over records that a runner has answered. It reports whether that was late.
func (r *round) over(m *member) bool {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	if m.asked[r.req.Id]--; m.asked[r.req.Id] == 0 {
		delete(m.asked, r.req.Id)
	}
	if r.late[m] {
		m.late--
	}
	return r.late[m]
}

// wait collects answers until there are enough of them.
func (r *round) wait(ctx context.Context) {
	var settle <-chan time.Time
	for r.waiting > 0 && !(r.decided && r.punctual == 0) {
		select {
		case a := <-r.answers:
			r.take(a)
		case <-settle:
			return
		case <-ctx.Done():
			return
		}
		if r.decided && settle == nil {
			timer := time.NewTimer(r.d.settle)
			defer timer.Stop()
			settle = timer.C
		}
	}
}

func (r *round) take(a answer) {
	r.out[a.i], r.errs[a.i] = a.p, a.err
	r.waiting--
	if !r.overdue[a.i] {
		r.punctual--
	}
	r.decided = r.decided || a.err == nil || conduct.BlameFor(a.err) == conduct.Plan
}

// leaveBehind lets the runners that have not answered go on without the caller.
func (r *round) leaveBehind() {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	for _, stop := range r.stop {
		stop()
	}
	for more := true; more; { // what arrived meanwhile
		select {
		case a := <-r.answers:
			r.take(a)
		default:
			more = false
		}
	}
	for i, m := range r.members {
		if r.out[i] != nil {
			continue
		}
		// A runner that answers right now finds the mark when it gets the lock.
		r.late[m] = true
		m.late++
		r.out[i] = &ruedov1.Preparation{Runner: m.Info().GetId(), Late: true, Error: "is still preparing it, and gets calls for it when it is ready"}
	}
}

// giveUp ends what is in flight and returns why no runner is ready.
func (r *round) giveUp(ctx context.Context) error {
	for _, cancel := range r.cancel {
		cancel()
	}
	for i, m := range r.members {
		if r.out[i] == nil {
			err := ctx.Err()
			if err == nil {
				err = context.DeadlineExceeded
			}
			r.errs[i] = fault.Wrap(err, fault.Deadline, "runner %s did not answer in time", m.Info().GetId())
			r.out[i] = &ruedov1.Preparation{Runner: m.Info().GetId(), Late: true, Error: "did not answer in time"}
		}
	}
	// A fault of the plan is more informative than a runner that broke down.
	worst := slices.MinFunc(r.errs, func(a, b error) int { return cmp.Compare(conduct.BlameFor(a), conduct.BlameFor(b)) })
	e := *fault.FromError(worst)
	switch conduct.BlameFor(worst) {
	case conduct.Runner:
		e.Reason, e.Code = fault.PrepareFailed, 0
	case conduct.Nobody:
		e.Reason, e.Code, e.Fix = fault.PrepareUnavailable, 0, "try again when runners are ready"
	}
	e.Err = worst
	e.Message = "no runner can prepare service " + r.req.GetPlan().GetService() + ": " + strings.TrimSuffix(e.Message, ".")
	return &e
}
