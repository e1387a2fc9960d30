package dispatch

import (
	"context"
	"errors"
	"strings"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// ErrUnanswered is the cause of a call's context when the time that it may wait,
// the service's own time and the grace after it are over. The runner is blamed only for that deadline:
// a caller's shorter deadline proves nothing about a runner.
var ErrUnanswered = errors.New("the runner did not answer within the service's own time")

const (
	// maxUnanswered is the number of consecutive unanswered calls after which a
	// runner counts as mute.
	maxUnanswered = 3
	// A mute runner is probed after minProbe at first, then at intervals that
	// double up to maxProbe. The interval is reset when the runner answers a
	// call.
	minProbe = time.Second
	maxProbe = time.Minute
	// probeTimeout is how long a runner has to answer a probe.
	probeTimeout = 5 * time.Second
)

// execute sends a call to one member and notes whether it answered.
func (d *Dispatcher) execute(ctx context.Context, m *member, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	res, err := m.Execute(ctx, req)
	if err != nil {
		d.failed(ctx, m, err)
	} else if m.unanswered.Load() != 0 {
		m.unanswered.Store(0)
	}
	return res, err
}

// failed counts a call that the runner never answered. Any answer resets the
// count. A call that the core itself refused or gave up proves nothing.
func (d *Dispatcher) failed(ctx context.Context, m *member, err error) {
	e := fault.FromError(err)
	switch {
	case e.NotStarted || e.Reason == fault.Canceled || e.Reason == fault.RunnerLost:
	case e.Reason != fault.Deadline:
		m.unanswered.Store(0)
	case context.Cause(ctx) == ErrUnanswered && m.unanswered.Add(1) >= maxUnanswered:
		d.mute(m)
	}
}

// mute takes a runner out of all rotations until it answers a probe. If no other
// runner is ready, it keeps getting calls: see publish.
func (d *Dispatcher) mute(m *member) {
	if d.silence(m) {
		d.log.Warn("runner does not answer its calls; it gets no more until it answers a probe", "runner", m.Info().GetId(), "unanswered", maxUnanswered)
	}
}

// silence marks a runner as mute. It reports whether it was not mute before.
func (d *Dispatcher) silence(m *member) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.mute || d.closed || m.gone || !m.Ready() {
		return false
	}
	m.mute = true
	if m.probe == 0 {
		m.probe = minProbe
	}
	d.refreshSnapshot()
	m.wg.Go(func() { d.probe(m) })
	return true
}

// probe calls a plan that does not exist on a mute runner, and expects
// PLAN_NOT_FOUND. That costs the runner next to nothing and takes the same path
// as every call. See "Why is a mute runner probed with a plan that does not
// exist?" in docs/RATIONALE.md.
func (d *Dispatcher) probe(m *member) {
	req := &runnerv1.ExecuteRequest{Plan: strings.Repeat("0", 64), CallId: "probe"}
	d.mu.Lock()
	wait := m.probe
	d.mu.Unlock()
	for {
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
		wait = min(2*wait, maxProbe)
		if errors.Is(err, fault.PlanNotFound) {
			break
		}
	}
	defer d.log.Info("runner answers again", "runner", m.Info().GetId())
	d.mu.Lock()
	defer d.mu.Unlock()
	// If the runner becomes mute again before it answers a call, it waits
	// longer.
	m.mute, m.probe = false, wait
	m.unanswered.Store(0)
	d.refreshSnapshot()
}
