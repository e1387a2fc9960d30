// Package cordon takes runners out of service at an operator's word, and says
// when they have nothing left to do.
//
//	c := cordon.New(cordon.Config{...})
//	c.Start()
//	defer c.Close()
//
// A cordon is a record in the store under the id of its runner, whether the
// runner is there or not. Each core reads it from its mirror and has its
// dispatcher leave the runner out. A cordon with an end is ignored by every core
// as soon as its own clock has reached the end; the leader removes the record
// later (package collect).
//
// Only a runner that is registered or attached can be cordoned, so that a
// mistyped name is noticed. One that is away can be named if it has a cordon
// already: then the cordon can be changed, ended or waited for.
//
// All methods can be called from many goroutines.
package cordon

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/dispatch/terms"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// MaxCordons bounds the cordons of a cluster.
const MaxCordons = 10_000

// look is how often the ends of cordons are compared with the clock, at least:
// the clock can be set.
const look = 10 * time.Second

// Config configures Cordons. All fields are required, unless they say otherwise.
type Config struct {
	Store interface {
		PutCordon(ctx context.Context, c *ruedov1.Cordon, seen int64) error
		DeleteCordon(ctx context.Context, runner string, seen int64) (int64, error)
	}
	Mirror interface {
		Snapshot() *mirror.Snapshot
		Changed() <-chan struct{}
		Wait(ctx context.Context, revision int64) error
		Reach(ctx context.Context, revision int64) error
	}
	Dispatcher interface {
		Members() []dispatch.Member
		SetCordons(cordons map[string]*ruedov1.Cordon)
	}
	// Peers asks the other cores about a runner.
	Peers interface {
		Drain(ctx context.Context, cores map[string]*ruedov1.Core, runner string, version int64) map[string]*ruedov1.GetDrainResponse
	}
	// Self is the id of this core.
	Self string
	// Leads reports whether this core leads: then it records cordons that end on
	// their own.
	Leads func() bool
	// Record records an event of a runner. It must not wait.
	Record func(kind ruedov1.EventKind, runner, text string)
	// Logger; nil discards.
	Logger *slog.Logger
}

// Cordons knows which runners are cordoned.
type Cordons struct {
	cfg    Config
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex // guards what follows; one at a time tells the dispatcher
	set map[string]*ruedov1.Cordon
	// quiet counts the answers of Drain in a row in which a runner had no calls, by
	// its id.
	quiet map[string]quiet
}

// New returns the cordons of a cluster, and has the dispatcher heed those that
// the mirror knows.
func New(cfg Config) *Cordons {
	c := &Cordons{cfg: cfg, log: cfg.Logger, quiet: map[string]quiet{}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.apply()
	return c
}

// Start follows the mirror until Close.
func (c *Cordons) Start() { c.wg.Go(c.follow) }

// Close stops following the mirror and waits for that to end.
func (c *Cordons) Close() {
	c.cancel()
	c.wg.Wait()
}

// Active returns the cordons that count now, by the id of the runner. It is
// shared: do not change it.
func (c *Cordons) Active() map[string]*ruedov1.Cordon {
	all := c.cfg.Mirror.Snapshot().Cordons
	now := time.Now()
	for _, one := range all {
		if store.CordonExpired(one, now) {
			all = maps.Clone(all)
			maps.DeleteFunc(all, func(_ string, o *ruedov1.Cordon) bool { return store.CordonExpired(o, now) })
			break
		}
	}
	return all
}

// follow keeps the dispatcher up to date.
func (c *Cordons) follow() {
	for {
		changed := c.cfg.Mirror.Changed()
		timer := time.NewTimer(c.apply())
		select {
		case <-changed:
		case <-timer.C:
		case <-c.ctx.Done():
		}
		timer.Stop()
		if c.ctx.Err() != nil {
			return
		}
	}
}

// apply tells the dispatcher which runners are cordoned, if that has changed. It
// returns after what time to do so again.
func (c *Cordons) apply() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Active()
	if !maps.EqualFunc(now, c.set, func(a, b *ruedov1.Cordon) bool { return a.GetVersion() == b.GetVersion() }) {
		c.report(now)
		c.set = now
		c.cfg.Dispatcher.SetCordons(now)
	}
	again := look
	for _, one := range now {
		if one.GetEndTime() != nil {
			again = min(again, time.Until(one.GetEndTime().AsTime()))
		}
	}
	return max(again, time.Millisecond)
}

// report logs which runners are cordoned and which no longer are.
func (c *Cordons) report(now map[string]*ruedov1.Cordon) {
	for id, one := range now {
		if c.set[id] == nil {
			c.log.Info("runner is cordoned", "runner", id, "from", one.GetFrom(), "reason", one.GetReason())
		}
	}
	for id, one := range c.set {
		if now[id] != nil {
			continue
		}
		c.log.Info("runner is no longer cordoned", "runner", id)
		delete(c.quiet, id)
		if store.CordonExpired(one, time.Now()) && c.cfg.Leads() {
			c.cfg.Record(ruedov1.EventKind_EVENT_KIND_RUNNER_UNCORDONED, id, "it gets calls again, because its cordon has ended: cordoned"+terms.Of(one))
		}
	}
}

// Cordon cordons a runner, or changes its cordon. It returns when this core heeds
// it.
//
// Errors: RUNNER_NOT_FOUND; RUNNER_CORDONED if somebody else has cordoned it and
// the request would change that; CONFLICT; the store's.
func (c *Cordons) Cordon(ctx context.Context, req *ruedov1.CordonRunnerRequest) (*ruedov1.CordonRunnerResponse, error) {
	runner, err := c.find(ctx, req.GetRunner())
	if err != nil {
		return nil, err
	}
	now := time.Now()
	stored := c.cfg.Mirror.Snapshot().Cordons
	old := stored[runner.GetId()]
	seen := old.GetVersion()
	if store.CordonExpired(old, now) {
		old = nil
	}
	if old == nil && seen == 0 && len(stored) >= MaxCordons {
		return nil, fault.New(fault.CordonLimit, "%d runners are cordoned, the limit of a cluster", len(stored)).WithFix("uncordon runners that are gone for good")
	}
	next := change(old, runner.GetId(), req, now)
	if old != nil {
		next.Name, next.Host = old.GetName(), old.GetHost()
		changes := next.GetReason() != old.GetReason() || req.GetDuration() != nil
		mine := req.GetFrom() == old.GetFrom()
		switch {
		case !changes && (mine || !req.GetForce()):
			return &ruedov1.CordonRunnerResponse{Cordon: old, Unchanged: true}, nil
		case !mine && !req.GetForce():
			return nil, taken(old)
		}
	}
	if runner.GetHost() != "" { // it is there
		next.Name, next.Host = runner.GetName(), runner.GetHost()
	}
	if err := c.cfg.Store.PutCordon(ctx, next, seen); err != nil {
		return nil, err
	}
	c.cfg.Record(ruedov1.EventKind_EVENT_KIND_RUNNER_CORDONED, next.GetRunner(), "it gets no new calls: cordoned"+terms.Of(next))
	return &ruedov1.CordonRunnerResponse{Cordon: next}, c.await(ctx, next.GetVersion())
}

// change returns the cordon of a runner that a request makes of old, which may
// be nil.
func change(old *ruedov1.Cordon, runner string, req *ruedov1.CordonRunnerRequest, now time.Time) *ruedov1.Cordon {
	next := &ruedov1.Cordon{CreateTime: timestamppb.New(now)}
	if old != nil {
		next = proto.CloneOf(old)
	}
	next.Runner, next.From = runner, req.GetFrom()
	if req.GetReason() != "" {
		next.Reason = req.GetReason()
	}
	if d := req.GetDuration(); d != nil {
		next.EndTime = timestamppb.New(now.Add(d.AsDuration()))
	}
	return next
}

// Uncordon ends a cordon. It returns when this core heeds it.
//
// Errors: RUNNER_NOT_FOUND; CONFLICT; the store's.
func (c *Cordons) Uncordon(ctx context.Context, req *ruedov1.UncordonRunnerRequest) (*ruedov1.UncordonRunnerResponse, error) {
	runner, err := c.find(ctx, req.GetRunner())
	if err != nil {
		return nil, err
	}
	id := runner.GetId()
	old := c.cfg.Mirror.Snapshot().Cordons[id]
	if old == nil || store.CordonExpired(old, time.Now()) {
		return &ruedov1.UncordonRunnerResponse{Runner: id, Unchanged: true}, nil
	}
	revision, err := c.cfg.Store.DeleteCordon(ctx, id, old.GetVersion())
	if err != nil {
		return nil, err
	}
	c.cfg.Record(ruedov1.EventKind_EVENT_KIND_RUNNER_UNCORDONED, id, "it gets calls again: it was cordoned"+terms.Of(old))
	return &ruedov1.UncordonRunnerResponse{Runner: id, Previous: old}, c.await(ctx, revision)
}

// await returns when this core heeds what was written.
func (c *Cordons) await(ctx context.Context, revision int64) error {
	if err := c.cfg.Mirror.Wait(ctx, revision); err != nil {
		return err
	}
	c.apply()
	return nil
}

// taken returns the error for a cordon that somebody else has made.
func taken(old *ruedov1.Cordon) error {
	who := old.GetFrom()
	if who == "" {
		who = "somebody else"
	}
	until := ""
	if end := old.GetEndTime(); end != nil {
		until = " until " + end.AsTime().UTC().Format(time.RFC3339)
	}
	why := ""
	if r := old.GetReason(); r != "" {
		why = ": " + r
	}
	return fault.New(fault.RunnerCordoned, "%s has cordoned runner %s since %s%s%s", who, old.GetRunner(), old.GetCreateTime().AsTime().UTC().Format(time.RFC3339), until, why).
		With("runner", old.GetRunner()).With("from", old.GetFrom()).
		WithFix("agree with them; then cordon it with force")
}

// known returns the runners that can be named: registered, attached to this core,
// or cordoned. Those that are only cordoned have no host.
func (c *Cordons) known() map[string]*ruedov1.Runner {
	s := c.cfg.Mirror.Snapshot()
	all := map[string]*ruedov1.Runner{}
	now := time.Now()
	for id, one := range s.Cordons {
		if !store.CordonExpired(one, now) {
			all[id] = &ruedov1.Runner{Id: id, Name: one.GetName()}
		}
	}
	for _, m := range c.cfg.Dispatcher.Members() {
		all[m.Info().GetId()] = m.Info()
	}
	maps.Copy(all, s.Runners)
	return all
}

// Missing returns the error for a runner that does not exist.
func (c *Cordons) Missing(ctx context.Context, name string) error {
	return missing(ctx, name, c.known())
}

// find returns the runner with an id, or with a name that only one has.
func (c *Cordons) find(ctx context.Context, name string) (*ruedov1.Runner, error) {
	all := c.known()
	if r := all[name]; r != nil {
		return r, nil
	}
	var found []string
	for id, r := range all {
		if r.GetName() == name {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 1:
		return all[found[0]], nil
	case 0:
		return nil, missing(ctx, name, all)
	}
	return nil, ambiguous(name, found)
}
