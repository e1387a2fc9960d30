package dispatch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// ErrUnanswered is the cause of a call's context when the time that it may wait,
// the service's own time and the grace after it are over. The runner is blamed
// only for that deadline: a caller's shorter one proves nothing about a runner.
var ErrUnanswered = errors.New("the runner did not answer within the service's own time")

// Why runners are ejected.
const (
	// CauseUnanswered is a runner that does not answer its calls.
	CauseUnanswered = "unanswered"
	// CauseFaults is a runner whose calls fail because of it.
	CauseFaults = "faults"
	// CauseLost is a runner whose lane breaks again and again.
	CauseLost = "lost"
)

// Causes returns all causes.
func Causes() []string { return []string{CauseUnanswered, CauseFaults, CauseLost} }

const (
	// maxUnanswered is the number of consecutive unanswered calls after which a
	// runner is ejected.
	maxUnanswered = 3
	// A call that fails because of the runner adds faultWeight to its score, and
	// one that is answered takes one from it. At maxScore the runner is ejected:
	// after five failures in a row, or if more than every ninth call fails for
	// long.
	faultWeight = 8
	maxScore    = 5 * faultWeight
	// probeTimeout is how long a runner has to answer a probe.
	probeTimeout = 5 * time.Second
)

// execute sends a call to one member and judges its answer. For a member that is
// not in doubt, that costs one atomic load.
func (d *Dispatcher) execute(ctx context.Context, m *member, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	res, err := m.Execute(ctx, req)
	if err != nil {
		d.failed(ctx, m, req.GetService(), err)
	} else if m.doubted.Load() {
		d.sound(m)
	}
	return res, err
}

// failed judges a call that has failed. A failure of the guest is an answer like
// any other. A call that the core itself refused or gave up, or whose lane broke,
// proves nothing: lost lanes are counted when they are removed.
func (d *Dispatcher) failed(ctx context.Context, m *member, service string, err error) {
	e := fault.FromError(err)
	switch {
	case ofHost(e.Reason):
		d.blame(m, service, e)
	case e.NotStarted || e.Reason == fault.Canceled || e.Reason == fault.RunnerLost || e.Reason == fault.StreamBroken:
	case e.Reason == fault.Deadline:
		if context.Cause(ctx) == ErrUnanswered {
			d.unanswered(m)
		}
	case m.doubted.Load():
		d.sound(m)
	}
}

// ofHost reports whether a reason says that the runner is at fault.
func ofHost(r fault.Reason) bool {
	return r == fault.Internal || r == fault.Integrity || r == fault.RunnerDisk
}

// sound records an answer of a member that is in doubt.
func (d *Dispatcher) sound(m *member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m.silent, m.trial = 0, false
	m.score = max(0, m.score-1)
	m.doubted.Store(m.score > 0)
}

// unanswered counts a call that the member never answered.
func (d *Dispatcher) unanswered(m *member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m.doubted.Store(true)
	if m.silent++; m.silent >= maxUnanswered || m.trial {
		d.eject(m, CauseUnanswered, "it does not answer its calls")
	}
}

// blame counts a call that failed because of the member, unless the service has
// just failed on another one: then it is more likely the service that provokes
// it, and no runner would do better.
func (d *Dispatcher) blame(m *member, service string, e *fault.Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.suspects.Provokes(service, m.Info().GetId()) {
		return
	}
	m.doubted.Store(true)
	if m.score += faultWeight; m.score >= maxScore || m.trial {
		d.eject(m, CauseFaults, string(e.Reason)+": "+e.Error())
	}
}

// eject takes a runner out of all rotations until it answers a probe. The caller
// holds d.mu.
func (d *Dispatcher) eject(m *member, cause, message string) {
	r := m.record
	if r.Out || d.closed || m.gone || !m.Ready() {
		return
	}
	d.condemn(m, cause, message)
	m.silent, m.score, m.trial = 0, 0, false
	d.refreshSnapshot()
	d.log.Warn("runner is ejected until it answers a probe", "runner", m.Info().GetId(), "cause", cause, "message", r.Message, "for", r.Wait, "gets_calls", r.Waived)
	d.startProbe(m)
}

// condemn marks the runner of a member as out. The caller holds d.mu.
func (d *Dispatcher) condemn(m *member, cause, message string) {
	m.record.Eject(cause, message)
	if d.cfg.Ejected != nil {
		d.cfg.Ejected(m.Info().GetId(), m.record.Ejection())
	}
}

// probe calls a plan that does not exist on a runner that is out, and expects
// PLAN_NOT_FOUND. That costs the runner next to nothing and takes the same path
// as every call. See "Why is a mute runner probed with a plan that does not
// exist?" in docs/RATIONALE.md. The runner then is on trial: its next failure
// ejects it again.
func (d *Dispatcher) probe(m *member) {
	req := &runnerv1.ExecuteRequest{Plan: strings.Repeat("0", 64), CallId: "probe"}
	for {
		d.mu.Lock()
		wait := time.Until(m.record.Until)
		d.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-m.ctx.Done():
			timer.Stop()
			return
		}
		ctx, cancel := context.WithTimeout(m.ctx, probeTimeout)
		_, err := m.Execute(ctx, req)
		cancel()
		d.mu.Lock()
		r := m.record
		if !r.Out { // another lane of the runner was faster
			m.probing = false
			d.mu.Unlock()
			return
		}
		if errors.Is(err, fault.PlanNotFound) {
			r.Return()
			if d.cfg.Readmitted != nil {
				d.cfg.Readmitted(m.Info().GetId())
			}
			m.probing = false
			m.silent, m.score, m.trial = 0, 0, true
			m.doubted.Store(true)
			d.refreshSnapshot()
			d.mu.Unlock()
			d.log.Info("runner answers again", "runner", m.Info().GetId())
			return
		}
		r.Postpone()
		d.mu.Unlock()
	}
}

// left records that a member is removed. The caller holds d.mu.
func (d *Dispatcher) left(m *member) {
	id, r := m.Info().GetId(), m.record
	if l, ok := m.Member.(interface{ Lost() bool }); ok && l.Lost() && !d.closed && r.Lose() {
		d.condemn(m, CauseLost, "its lane broke again and again")
		d.log.Warn("runner loses its lanes; when it is back, it gets calls again after a while", "runner", id, "for", r.Wait)
	}
	for _, o := range d.members { // the runner may be back before its old lane has ended
		if o != m && o.record == r {
			d.startProbe(o)
		}
	}
	d.records.Detach(id)
}

// startProbe has a member probed if its runner is out. The caller holds d.mu.
func (d *Dispatcher) startProbe(m *member) {
	if m.record.Out && !m.probing && !m.gone && !d.closed {
		m.probing = true
		m.wg.Go(func() { d.probe(m) })
	}
}

// atMostHalf returns the members that are really out: never more than half of
// all that could get calls. Those that were out for the shortest time get calls
// all the same. The caller holds d.mu.
func atMostHalf(out []*member, others int) (back []*member) {
	slices.SortStableFunc(out, func(a, b *member) int { return cmp.Compare(a.record.Wait, b.record.Wait) })
	excess := max(0, len(out)-(len(out)+others)/2)
	for i, m := range out {
		m.record.Waived = i < excess
	}
	return out[:excess]
}

// Ejections returns the runners that are ejected, by id. They include those that
// are away.
func (d *Dispatcher) Ejections() map[string]*ruedov1.Ejection {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]*ruedov1.Ejection{}
	for id, r := range d.records {
		if r.Out {
			all[id] = r.Ejection()
		}
	}
	return all
}
