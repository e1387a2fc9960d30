// Package publish publishes services: an atomic switch without a cold start.
//
// [Publisher.Publish] checks the request and makes the runners prepare the new
// revision (fetch, compile, start). Once at least one of them is ready, it
// switches the service to the revision in one conditional transaction. Late
// runners go on in the background. If no runner can prepare a module, the
// publish fails with the reason, and the live revision stays live.
// [Publisher.Rollback] does the same with a revision that is already stored.
//
// When a method returns, its core sees the change: a call sent after the answer
// uses the new revision or a newer one.
//
// All methods can be called from many goroutines. If two publishers race for
// one service, one gets CONFLICT.
package publish

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/decorate"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// DefaultPrepareTimeout bounds how long a publish waits for the first runner to
// prepare a revision.
const DefaultPrepareTimeout = 2 * time.Minute

// Store is what a publish reads and writes; it is a store.Store.
type Store interface {
	Published(ctx context.Context, name string) (*ruedov1.Service, error)
	Service(ctx context.Context, name string) (*ruedov1.Service, error)
	Revision(ctx context.Context, service string, n uint64) (*ruedov1.Revision, error)
	StatModule(ctx context.Context, digest string) (*ruedov1.Module, error)
	Decorator(ctx context.Context, name string) (*ruedov1.Decorator, error)
	PublishService(ctx context.Context, svc *ruedov1.Service, seen int64) (*ruedov1.Service, error)
}

// Config configures a Publisher. All fields except PrepareTimeout are required.
type Config struct {
	Store Store
	// Mirror must reach the publish before it returns, so that the caller sees
	// it.
	Mirror interface {
		Wait(ctx context.Context, revision int64) error
	}
	// Catalog shares plans and compiled decorators.
	Catalog interface {
		ShareUnpublished(id string, plan *runnerv1.Plan) (forget func())
		Decorator(stored *ruedov1.Decorator) *decorate.Decorator
		Compiled(module string) bool
	}
	// Dispatcher makes the runners prepare plans.
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

// New returns a publisher. It starts no goroutines.
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
		// There is no new revision, but fields of the service itself may have
		// changed.
		next.Revision, next.Latest = live.GetRevision(), live.GetLatest()
		if live.GetDescription() == next.GetDescription() && slices.Equal(live.GetTags(), next.GetTags()) {
			return &ruedov1.PublishServiceResponse{Service: live, Unchanged: true}, nil
		}
		stored, err := p.flip(ctx, next, live.GetVersion())
		return &ruedov1.PublishServiceResponse{Service: stored}, err
	}
	prepared, err := p.prepare(ctx, next, p.cfg.Catalog.Compiled(next.GetRevision().GetModule()))
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
	if _, err := p.prepare(ctx, next, true); err != nil {
		return nil, 0, err
	}
	stored, err := p.flip(ctx, next, live.GetVersion())
	return stored, was, err
}

// prepare makes the runners prepare the revision. It writes nothing. compiled
// says that its module was compiled before.
func (p *Publisher) prepare(ctx context.Context, s *ruedov1.Service, compiled bool) ([]*ruedov1.Preparation, error) {
	rules, err := p.rules(ctx, s.GetRevision())
	if err != nil {
		return nil, err
	}
	if example := s.GetRevision().GetExample(); len(example) > 0 {
		if err := rules.Check(ctx, s.GetName(), example); err != nil {
			e := *fault.FromError(err)
			e.Message = "the service's example input is invalid: " + e.Message
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
	return p.cfg.Dispatcher.Prepare(ctx, &runnerv1.PrepareRequest{Id: id, Plan: plan, Compiled: compiled})
}

// isolation returns the isolation that the runners found when they prepared a
// revision. It depends only on the module, so the first successful preparation
// decides.
func isolation(prepared []*ruedov1.Preparation) (ruedov1.Isolation, string) {
	for _, p := range prepared {
		if p.GetError() == "" {
			return p.GetIsolation(), p.GetIsolationReason()
		}
	}
	return ruedov1.Isolation_ISOLATION_UNSPECIFIED, ""
}

// rules combines the decorators as they are stored now, because a publish right
// after a decorator was created elsewhere must not depend on this core's
// mirror.
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

// flip makes next live if the service has not changed since it was read.
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
