// Package dispatch decides which runner gets a call.
//
// Make one [Dispatcher] per core, [Dispatcher.Add] each runner that attaches,
// and call [Dispatcher.Execute]: it is an executor.Executor like the runners
// themselves. What [Dispatcher.Plan] returns is one for the calls of one plan.
//
// # Whose turn it is
//
// The calls of a plan rotate strictly over the runners that are ready and have
// prepared it: of 300 calls, three runners get 100 each. If no runner has
// prepared it, they rotate over all that are ready, which prepare it on demand.
//
// # Where a plan may be executed
//
// A plan with a placement is prepared and executed only by the runners whose
// labels meet it. With [Config.Zone], the calls rotate over the runners of that
// zone as long as one of them is ready and has prepared the plan. Both are looked
// at when runners or plans change, not for each call.
//
// # Second attempts
//
// A call that provably did not start is sent to one other runner, once. If a
// runner is lost while it may have been executing a call, the caller gets the
// error, unless the context says that the call may run twice
// ([WithIdempotent]); then it too is sent to one more runner. No call is tried
// three times. A call of kind http is not tried again once a runner has begun to
// answer it, or has read more of its body than the first bytes.
//
// # Runners that fail
//
// A runner is ejected, that is, gets no calls for a while, if it leaves three
// calls in a row unanswered beyond the service's own time, if too many of its
// calls fail because of the runner and not of the guest, or if it loses its lane
// three times within a minute. It still counts as attached. After a second it
// gets a probe, and calls again once it answers one; the time doubles up to a
// minute with each probe that fails and each ejection that follows soon. Never
// are more than half of the runners out. See [Dispatcher.Ejections].
//
// # Cordons
//
// A runner that an operator has cordoned ([Dispatcher.SetCordons]) gets no new
// calls and prepares nothing, even if no other runner is ready. Calls in flight
// on it go on.
//
// # The first seconds
//
// A core that has just started has no runners yet, although they are about to
// redial. Calls wait for the first one that may execute them, until
// [DefaultStartWait] after the start.
//
// # Preparing
//
// For a publish, [Dispatcher.Prepare] asks all runners at the same time, and
// returns when those that answer in time have done so. [Dispatcher.SetPlans]
// sets the plans that are live. Runners that attach later prepare these in the
// background. Until such a runner has prepared a plan, it gets no calls for it,
// as long as another runner can take them.
package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/core/dispatch/attempt"
	"github.com/ruedo-dev/ruedo/core/dispatch/conduct"
	"github.com/ruedo-dev/ruedo/core/dispatch/terms"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

// Member is a runner as the dispatcher sees it. Its methods can be called from
// many goroutines at the same time. A member that is no longer ready never
// becomes ready again: a runner that comes back is added as a new member.
type Member interface {
	executor.Runner
	// Info returns the runner as it introduced itself.
	Info() *ruedov1.Runner
	// Ready reports whether the runner accepts calls. It is called for every
	// call.
	Ready() bool
	// Active returns the number of calls in flight on the runner.
	Active() int
	// Total returns the number of calls that the runner has executed.
	Total() uint64
	// PlanUsage returns what the runner holds ready; nil if that is not known.
	// It is shared: do not change it.
	PlanUsage() *ruedov1.PlanUsage
}

// Config configures a Dispatcher.
type Config struct {
	// StartWait is how long after New calls wait for the first runner; zero
	// means DefaultStartWait, and negative means not at all.
	StartWait time.Duration
	// Zone is preferred: runners whose label zone is the same get calls before
	// others. Empty prefers no zone.
	Zone string
	// AnyPlacement lets any runner execute any plan.
	AnyPlacement bool
	// Settle is how long Prepare waits for more runners once one is ready; zero
	// means DefaultSettle.
	Settle time.Duration
	// Ejected is called each time that a runner is ejected, and Readmitted when it
	// gets calls again. They must not call the dispatcher. Nil disables them.
	Ejected    func(runner string, e *ruedov1.Ejection)
	Readmitted func(runner string)
	// Unprepared is called when a runner could not prepare a plan of a service,
	// which is not so if it was lost meanwhile. Nil disables it.
	Unprepared func(runner, service string, err *fault.Error)
	// Logger records what fails in the background; nil discards it.
	Logger *slog.Logger
}

// Dispatcher spreads calls over runners. Its methods can be called from many
// goroutines.
type Dispatcher struct {
	cfg    Config
	log    *slog.Logger
	settle time.Duration
	start  start

	zone         string
	anyPlacement bool

	live      atomic.Pointer[live] // what Execute reads; never changed in place
	rotations sync.Map             // plan id -> *rotation
	started   atomic.Uint64        // rotations so far
	streams   atomic.Int64         // calls of kind http in flight

	mu      sync.Mutex // guards what follows, and every member's state
	members []*member  // in the order in which they came
	plans   map[string]*plan
	cordons map[string]*ruedov1.Cordon // by id of the runner; never changed in place
	chosen  *candidates                // the last ones
	closed  bool

	records  conduct.Records
	suspects conduct.Suspects
}

var _ executor.Executor = (*Dispatcher)(nil)

// New returns a dispatcher without runners.
func New(cfg Config) *Dispatcher {
	if cfg.StartWait == 0 {
		cfg.StartWait = DefaultStartWait
	}
	if cfg.Settle <= 0 {
		cfg.Settle = DefaultSettle
	}
	d := &Dispatcher{
		cfg: cfg, log: cfg.Logger, settle: cfg.Settle, zone: cfg.Zone, anyPlacement: cfg.AnyPlacement, plans: make(map[string]*plan),
		records: make(conduct.Records), suspects: make(conduct.Suspects),
	}
	d.start = start{until: time.Now().Add(cfg.StartWait), came: make(chan struct{})}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.live.Store(&live{})
	return d
}

// WithIdempotent marks the calls made with the context as safe to run twice.
func WithIdempotent(ctx context.Context) context.Context {
	return attempt.WithIdempotent(ctx)
}

// Execute sends the call to the runner whose turn it is. Its plan has no placement, or was
// passed to [Dispatcher.Plan]. It fails with NO_RUNNER if none that may execute the plan is
// ready, after a wait if the core has just started. It fails with QUEUE_FULL if the plan's
// share of calls is in flight, which is three quarters of what its runners accept, and with
// QUEUE_TIMEOUT if its turn does not come within the time that the request has for that, or
// would not by an estimate. A call of kind http is refused for its share only by runners.
func (d *Dispatcher) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	return d.rotation(req.Plan, nil).Execute(ctx, req)
}

// Plan returns an executor of the calls of one plan, which looks nothing up. placement
// chooses the runners; nil means any. A plan must always come with the same placement.
func (d *Dispatcher) Plan(id string, placement *labels.Selector) executor.Executor {
	return d.rotation(id, placement)
}

// Execute is [Dispatcher.Execute] for a call of the plan.
func (rot *rotation) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	d := rot.d
	if len(req.Head) > 0 {
		return d.executeHTTP(ctx, rot, req)
	}
	defer rot.load.Leave()
	n := rot.load.Enter()
	first, others, req, err := d.first(ctx, rot, req)
	if err != nil {
		return nil, err
	}
	if err := rot.load.Refuse(ctx, req, n, others.capacity); err != nil {
		return nil, err
	}
	res, err := d.execute(ctx, first, req)
	rot.load.Learn(res, err)
	if err == nil || !attempt.MayRepeat(ctx, err) {
		return res, err
	}
	second, err := d.second(rot, req.Plan, first, err)
	if second == nil {
		return nil, err
	}
	res, err = d.execute(ctx, second, req)
	rot.load.Learn(res, err)
	return res, err
}

// executeHTTP is Execute for a call of kind http. It does not count toward its
// plan's share, and has no estimate: most of its time it waits for its streams,
// which takes nothing from others. Runners know which calls work and which wait.
func (d *Dispatcher) executeHTTP(ctx context.Context, rot *rotation, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	first, _, req, err := d.first(ctx, rot, req)
	if err != nil {
		return nil, err
	}
	d.streams.Add(1)
	defer d.streams.Add(-1)
	ctx, x := attempt.Watch(ctx)
	defer x.Close()
	res, err := d.execute(ctx, first, req)
	if err == nil || x.Moved() || !attempt.MayRepeat(ctx, err) {
		return res, err
	}
	second, err := d.second(rot, req.Plan, first, err)
	if second == nil {
		return nil, err
	}
	return d.execute(ctx, second, req)
}

// first returns the member whose turn it is, after a wait if the core has just
// started, and the request with the rest of its time.
func (d *Dispatcher) first(ctx context.Context, rot *rotation, req *runnerv1.ExecuteRequest) (*member, *candidates, *runnerv1.ExecuteRequest, error) {
	first, others := d.next(rot, req.Plan)
	if first == nil {
		waiting := time.Now()
		if err := d.await(ctx, req, rot); err != nil {
			return nil, nil, nil, err
		}
		req = executor.Waited(req, time.Since(waiting))
		if first, others = d.next(rot, req.Plan); first == nil {
			return nil, nil, nil, d.noRunner(rot.placement, nil)
		}
	}
	return first, others, req, nil
}

// second returns a member other than the first one, on which a call has failed, or
// the error of the call if there is none.
func (d *Dispatcher) second(rot *rotation, plan string, first *member, err error) (*member, error) {
	if m := d.candidates(rot, plan).other(first); m != nil {
		return m, nil
	}
	if r := fault.ReasonOf(err); fault.FromError(err).NotStarted && (r == fault.RunnerDraining || r == fault.RunnerLost) {
		return nil, d.noRunner(rot.placement, err)
	}
	return nil, err
}

// noRunner returns the error for a plan that no ready runner may execute.
func (d *Dispatcher) noRunner(placement *labels.Selector, cause error) *fault.Error {
	l := d.live.Load()
	e := fault.Wrap(cause, fault.NoRunner, "no runner is attached and ready").
		WithFix("start a runner that attaches to this core")
	if cordoned := l.cordonedFor(placement); len(cordoned) > 0 {
		e = terms.AllCordoned(cause, cordoned, placement)
	} else if !placement.Empty() {
		e.Message = fmt.Sprintf("no runner that meets the placement %s is attached and ready", placement)
		all := l.members
		switch n := len(all) - len(matching(all, placement)); n {
		case 0:
		case 1:
			e.Message += "; 1 other runner does not meet it"
		default:
			e.Message += fmt.Sprintf("; %d other runners do not meet it", n)
		}
		e = e.WithFix("start a runner with such labels (runner.labels), or publish the service with another placement").With(fault.MetaPlacement, placement)
	}
	e.NotStarted = true
	return e
}

// Streams returns how many calls of kind http are open on the runners.
func (d *Dispatcher) Streams() int { return int(d.streams.Load()) }

// Members returns the runners in the order in which they attached, ready or
// not.
func (d *Dispatcher) Members() []Member {
	d.mu.Lock()
	defer d.mu.Unlock()
	ms := make([]Member, len(d.members))
	for i, m := range d.members {
		ms[i] = m.Member
	}
	return ms
}
