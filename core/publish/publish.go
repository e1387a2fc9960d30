// Package publish is the walk of a publish: an atomic switch with no cold
// start.
//
// [Publisher.Publish] checks what was asked, has live runners prepare the new
// revision (fetch, compile, start), and only when at least one of them is ready
// flips the service to it in one guarded transaction. Runners that are late go on
// in the background. A module that no runner can prepare is refused with the
// reason, and what was live stays live.
// [Publisher.Rollback] is the same walk with a revision that is stored already.
//
// When a method returns, the core that it ran on sees the change: a call sent
// after the answer meets the new revision or a newer one.
//
// All methods may be called from many goroutines; of two publishers of
// one service one gets CONFLICT.
package publish

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/core/store"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// DefaultPrepareTimeout bounds how long a publish waits for the first runner to
// prepare a revision.
const DefaultPrepareTimeout = 2 * time.Minute

// Config says what a Publisher works with. All fields but PrepareTimeout are
// required.
type Config struct {
	Store *store.Store
	// Mirror is waited for, so that whoever published sees it.
	Mirror interface {
		Wait(ctx context.Context, revision int64) error
	}
	// Catalog shares plans and compiled decorators.
	Catalog interface {
		ShareUnpublished(id string, plan *runnerv1.Plan) (forget func())
		Decorator(stored *ruedov1.Decorator) *decorate.Decorator
	}
	// Dispatcher has the runners prepare plans.
	Dispatcher interface {
		Prepare(ctx context.Context, req *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error)
	}
	// PrepareTimeout; zero means DefaultPrepareTimeout.
	PrepareTimeout time.Duration
}

// Publisher publishes services.
type Publisher struct {
	cfg Config
}

// New makes a publisher; it starts nothing.
func New(cfg Config) *Publisher {
	if cfg.PrepareTimeout == 0 {
		cfg.PrepareTimeout = DefaultPrepareTimeout
	}
	return &Publisher{cfg: cfg}
}

// Publish makes a module the live revision of a service.
func (p *Publisher) Publish(ctx context.Context, req *ruedov1.PublishServiceRequest) (*ruedov1.PublishServiceResponse, error) {
	live, err := p.cfg.Store.Published(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if want := req.GetExpectedVersion(); want != 0 && want != live.GetVersion() {
		return nil, fault.New(fault.Conflict, "service %s has changed: it is at version %d, not %d", req.GetName(), live.GetVersion(), want).
			With("service", req.GetName()).WithFix("look at the service, then publish again")
	}
	module, err := p.cfg.Store.StatModule(ctx, req.GetModule())
	if err != nil {
		return nil, err
	}
	now := timestamppb.Now()
	next := &ruedov1.Service{
		Name:        req.GetName(),
		Description: req.GetDescription(),
		Tags:        req.GetTags(),
		Revision: &ruedov1.Revision{
			Service:     req.GetName(),
			Number:      live.GetLatest() + 1,
			Module:      req.GetModule(),
			ModuleBytes: module.GetSizeBytes(),
			Kind:        module.GetKind(),
			Decorators:  req.GetDecorators(),
			Env:         req.GetEnv(),
			Args:        req.GetArgs(),
			Example:     req.GetExample(),
			Isolation:   req.GetIsolation(),
			CreateTime:  now,
		},
		Latest:     live.GetLatest() + 1,
		CreateTime: live.GetCreateTime(),
		UpdateTime: now,
	}
	if next.CreateTime == nil {
		next.CreateTime = now
	}
	if sameRevision(live.GetRevision(), next.GetRevision()) {
		// No new revision; what is about the name alone may still have changed.
		next.Revision, next.Latest = live.GetRevision(), live.GetLatest()
		if live.GetDescription() == next.GetDescription() && slices.Equal(live.GetTags(), next.GetTags()) {
			return &ruedov1.PublishServiceResponse{Service: live, Unchanged: true}, nil
		}
		stored, err := p.flip(ctx, next, live.GetVersion())
		return &ruedov1.PublishServiceResponse{Service: stored}, err
	}
	prepared, err := p.prepare(ctx, next)
	if err != nil {
		return nil, err
	}
	next.Revision.EffectiveIsolation, next.Revision.IsolationReason = isolation(prepared)
	stored, err := p.flip(ctx, next, live.GetVersion())
	if err != nil {
		return nil, err
	}
	return &ruedov1.PublishServiceResponse{Service: stored, Preparations: prepared}, nil
}

// Rollback makes revision number live again; zero means the highest below the
// live one. It returns the service as it is now and the revision that was live.
func (p *Publisher) Rollback(ctx context.Context, name string, number uint64) (*ruedov1.Service, uint64, error) {
	live, err := p.cfg.Store.Service(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	was := live.GetRevision().GetNumber()
	if number == 0 {
		if was <= 1 {
			return nil, 0, fault.New(fault.RevisionNotFound, "service %s has no revision before %d", name, was).
				With("service", name).WithFix("list the revisions of the service")
		}
		number = was - 1
	}
	if number == was {
		return live, was, nil
	}
	rev, err := p.cfg.Store.Revision(ctx, name, number)
	if err != nil {
		return nil, 0, err
	}
	next := proto.CloneOf(live)
	next.Revision = rev
	next.UpdateTime = timestamppb.Now()
	if _, err := p.prepare(ctx, next); err != nil {
		return nil, 0, err
	}
	stored, err := p.flip(ctx, next, live.GetVersion())
	return stored, was, err
}

// prepare has the runners make the revision ready. Nothing is written.
func (p *Publisher) prepare(ctx context.Context, s *ruedov1.Service) ([]*ruedov1.Preparation, error) {
	rules, err := p.rules(ctx, s.GetRevision())
	if err != nil {
		return nil, err
	}
	if example := s.GetRevision().GetExample(); len(example) > 0 {
		if err := rules.Check(ctx, s.GetName(), example); err != nil {
			e := *fault.Of(err)
			e.Message = "the example of the service is no input that it accepts: " + e.Message
			e.Fix = "correct the example, or the schema of the decorator"
			return nil, &e
		}
	}
	id, plan, err := rules.Plan(s.GetRevision())
	if err != nil {
		return nil, err
	}
	forget := p.cfg.Catalog.ShareUnpublished(id, plan)
	defer forget()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.PrepareTimeout)
	defer cancel()
	return p.cfg.Dispatcher.Prepare(ctx, &runnerv1.PrepareRequest{Id: id, Plan: plan})
}

// isolation is what the runners found when they prepared a revision. It depends
// on the module alone, so the first that could decides for all.
func isolation(prepared []*ruedov1.Preparation) (ruedov1.Isolation, string) {
	for _, p := range prepared {
		if p.GetError() == "" {
			return p.GetIsolation(), p.GetIsolationReason()
		}
	}
	return ruedov1.Isolation_ISOLATION_UNSPECIFIED, ""
}

// rules adds up the decorators as they are stored now: a publish right after a
// decorator was created elsewhere must not depend on this core's mirror.
func (p *Publisher) rules(ctx context.Context, rev *ruedov1.Revision) (*decorate.Rules, error) {
	var ds []*decorate.Decorator
	for _, name := range rev.GetDecorators() {
		stored, err := p.cfg.Store.Decorator(ctx, name)
		if err != nil {
			return nil, err
		}
		d := p.cfg.Catalog.Decorator(stored)
		if err := d.Ready(ctx); err != nil {
			return nil, err
		}
		ds = append(ds, d)
	}
	return decorate.Combine(ds), nil
}

// flip makes next live if the service is still as it was seen.
func (p *Publisher) flip(ctx context.Context, next *ruedov1.Service, seen int64) (*ruedov1.Service, error) {
	stored, err := p.cfg.Store.PublishService(ctx, next, seen)
	if err != nil {
		return nil, err
	}
	return stored, p.cfg.Mirror.Wait(ctx, stored.GetVersion())
}

// sameRevision reports whether two revisions differ only in number and time.
func sameRevision(a, b *ruedov1.Revision) bool {
	return a != nil &&
		a.GetModule() == b.GetModule() &&
		a.GetKind() == b.GetKind() &&
		slices.Equal(a.GetDecorators(), b.GetDecorators()) &&
		maps.Equal(a.GetEnv(), b.GetEnv()) &&
		slices.Equal(a.GetArgs(), b.GetArgs()) &&
		string(a.GetExample()) == string(b.GetExample()) &&
		a.GetIsolation() == b.GetIsolation()
}
