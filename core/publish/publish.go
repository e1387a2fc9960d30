// Package publish changes what runs: services and the decorators that they
// carry. Every change is an atomic switch without a cold start.
//
// [Publisher.Publish] checks the request and makes the runners prepare the new
// revision (fetch, compile, start). Once at least one of them is ready, it
// switches the service to the revision in one conditional transaction. Late
// runners go on in the background. If no runner can prepare a module, the
// publish fails with the reason, and the live revision stays live. Only the
// runners that meet the placement of the revision are asked; if there is none, see
// [Publisher.placed].
// [Publisher.Rollback] does the same with a revision that is already stored.
//
// A decorator holds for every service that carries it, so its changes
// ([Publisher.UpdateDecorator], [Publisher.RollbackDecorator], and definitions
// that are published with a service) take the same way: the runners prepare
// those services with the change, and it is refused if one of them could not
// run; see [carriers].
//
// When a method returns, its core sees the change: a call sent after the answer
// uses the new revision or a newer one.
//
// All methods can be called from many goroutines. If two publishers race for
// one service, or for a service and its decorator, one gets CONFLICT.
package publish

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/core/store"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Defaults of Config.
const (
	DefaultPrepareTimeout = 2 * time.Minute
	DefaultMaxCarriers    = 256
)

// writeTries bounds how often other publishes can make a change of decorators
// look up its carriers again.
const writeTries = 8

// Store is what a publisher reads and writes; it is a store.Store.
type Store interface {
	Published(ctx context.Context, name string) (*ruedov1.Service, error)
	Service(ctx context.Context, name string) (*ruedov1.Service, error)
	Revision(ctx context.Context, service string, n uint64) (*ruedov1.Revision, error)
	StatModule(ctx context.Context, digest string) (*ruedov1.Module, error)
	Decorator(ctx context.Context, name string) (*ruedov1.Decorator, error)
	PublishService(ctx context.Context, svc *ruedov1.Service, seen int64) (*ruedov1.Service, error)
	Publish(ctx context.Context, p store.Publication) (*ruedov1.Service, []*ruedov1.Decorator, error)
	Carriers(ctx context.Context, decorators ...string) ([]*ruedov1.Service, int64, error)
	Routed(ctx context.Context) ([]*ruedov1.Service, int64, error)
	CreateDecorator(ctx context.Context, d *ruedov1.Decorator) (*ruedov1.Decorator, error)
	UpdateDecorator(ctx context.Context, c store.Change) (*ruedov1.Decorator, error)
	DecoratorRevision(ctx context.Context, name string, n uint64) (*ruedov1.Decorator, error)
}

// Config configures a Publisher. All fields are required, except those with a default.
type Config struct {
	Store Store
	// Mirror must reach the publish before it returns, so that the caller sees
	// it.
	Mirror interface {
		Wait(ctx context.Context, revision int64) error
	}
	// Catalog shares plans and compiled decorators.
	Catalog interface {
		Compiler() *decorate.Compiler
		ShareUnpublished(id string, plan *runnerv1.Plan) (forget func())
		Decorator(stored *ruedov1.Decorator) *decorate.Decorator
		Compiled(module string) bool
		State(service string) (plan string, err error)
	}
	// Dispatcher makes the runners prepare plans.
	Dispatcher interface {
		Prepare(ctx context.Context, req *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error)
		Prepared(plan string) (runners int, err *fault.Error)
	}
	// Check asks whether the request of a context may do something, as
	// [access.Check] does, which is the default.
	Check func(ctx context.Context, verb access.Verb, noun access.Noun, name string) error
	// Hosts are the names under which the API is reached, in addition to those that
	// no route can have. May be nil.
	Hosts []string
	// AnyPlacement says that the dispatcher lets any runner execute any plan.
	AnyPlacement bool
	// PrepareTimeout; zero means DefaultPrepareTimeout. It also bounds how long
	// a change of a decorator waits for the services that carry it, all
	// together.
	PrepareTimeout time.Duration
	// MaxCarriers bounds how many services a change of a decorator can affect
	// without force; zero means DefaultMaxCarriers.
	MaxCarriers int
}

// Publisher publishes services and changes decorators.
type Publisher struct {
	cfg Config
	// slots bounds the services that are prepared at the same time because a
	// decorator of theirs changes.
	slots chan struct{}
}

// New returns a publisher. It starts no goroutines.
func New(cfg Config) *Publisher {
	if cfg.Check == nil {
		cfg.Check = access.Check
	}
	if cfg.PrepareTimeout == 0 {
		cfg.PrepareTimeout = DefaultPrepareTimeout
	}
	if cfg.MaxCarriers == 0 {
		cfg.MaxCarriers = DefaultMaxCarriers
	}
	return &Publisher{cfg: cfg, slots: make(chan struct{}, carriersAtOnce)}
}

// Publish makes a module the live revision of a service, and writes the
// definitions of decorators that come with it, in one step.
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
	if err := p.mayAttach(ctx, live.GetRevision(), req.GetDecorators()); err != nil {
		return nil, err
	}
	changes, err := p.definitions(ctx, req.GetDefinitions())
	if err != nil {
		return nil, err
	}
	defer keep(changes)
	next := revise(live, req, module)
	if err := checkPlacement(next.GetRevision()); err != nil {
		return nil, err
	}
	if err := checkKind(next.GetRevision()); err != nil {
		return nil, err
	}
	if err := checkRoutes(next.GetRevision(), p.cfg.Hosts); err != nil {
		return nil, err
	}
	admitted, err := p.cfg.Catalog.Compiler().AdmitTypes(ctx, next.GetRevision())
	if err != nil {
		return nil, err
	}
	defer admitted.Keep()
	if req.GetNoLive() {
		return p.stage(ctx, live, next, changes)
	}
	if sameRevision(live.GetRevision(), next.GetRevision()) {
		// There is no new revision, but fields of the service itself may have
		// changed.
		next.Revision, next.Latest = live.GetRevision(), live.GetLatest()
		if len(changes) == 0 && live.GetLimits() == nil {
			if live.GetDescription() == next.GetDescription() && slices.Equal(live.GetTags(), next.GetTags()) {
				return &ruedov1.PublishServiceResponse{Service: live, Unchanged: true}, p.cfg.Mirror.Wait(ctx, live.GetVersion())
			}
			stored, err := p.cfg.Store.PublishService(ctx, next, live.GetVersion())
			if err != nil {
				return nil, err
			}
			return &ruedov1.PublishServiceResponse{Service: stored}, p.cfg.Mirror.Wait(ctx, stored.GetVersion())
		}
	}
	if _, err := p.claimable(ctx, next); err != nil {
		return nil, err
	}
	ready, err := p.prepare(ctx, next, p.lookup(changes), false)
	warnings, err := p.placed(live, next, req.GetForce(), err)
	if err != nil {
		return nil, err
	}
	warnings = append(warnings, unwarmed(next.GetRevision())...)
	if next.GetRevision() != live.GetRevision() {
		next.Revision.EffectiveIsolation, next.Revision.IsolationReason = isolation(ready.preparations)
		next.Revision.Limits = ready.rules.Limits
	}
	pub := store.Publication{Service: next, Seen: live.GetVersion(), Decorators: ready.versions}
	for _, c := range changes {
		pub.Changes = append(pub.Changes, c.Change)
	}
	guard := p.carriers(changes, req.GetName(), req.GetForce())
	defer guard.close()
	res := &ruedov1.PublishServiceResponse{Preparations: ready.preparations, PreviousOrigin: live.GetRevision().GetOrigin(), Warnings: warnings}
	err = guard.until(ctx, func(at int64) error {
		return p.claim(ctx, next, at, func(at int64) (err error) {
			pub.Carriers = at
			res.Service, res.Definitions, err = p.flip(ctx, pub)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return res, p.compiled(ctx, res.GetDefinitions())
}

// revise returns the service that a request asks for, with a new revision.
func revise(live *ruedov1.Service, req *ruedov1.PublishServiceRequest, module *ruedov1.Module) *ruedov1.Service {
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
			Origin:      req.GetOrigin(),
			Placement:   strings.TrimSpace(req.GetPlacement()),

			HttpExamples: req.GetHttpExamples(),
			Routes:       req.GetRoutes(),

			InputSchema:  req.GetInputSchema(),
			OutputSchema: req.GetOutputSchema(),
		},
		Latest:     live.GetLatest() + 1,
		CreateTime: live.GetCreateTime(),
		UpdateTime: now,
	}
	if next.CreateTime == nil {
		next.CreateTime = now
	}
	return next
}

// Rollback makes revision number live again; zero means the highest below the
// live one. It returns the service as it is now and the revision that was live.
//
// The revision's decorators may have changed since it was published. If it
// cannot run with their limits as they are now, the limits that it was published
// with are restored; see Service.limits. A rollback is for emergencies, so it
// does not ask whether the schemas still accept the example.
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
		return live, was, p.cfg.Mirror.Wait(ctx, live.GetVersion())
	}
	rev, err := p.cfg.Store.Revision(ctx, name, number)
	if err != nil {
		return nil, 0, err
	}
	if number > live.GetLatest() {
		return nil, 0, fault.New(fault.Conflict, "revision %d of service %s was published at this very moment", number, name).WithFix("try again")
	}
	if err := p.mayAttach(ctx, live.GetRevision(), rev.GetDecorators()); err != nil {
		return nil, 0, err
	}
	next := proto.CloneOf(live)
	next.Revision, next.Limits = rev, nil
	next.UpdateTime = timestamppb.Now()
	ready, err := p.prepare(ctx, next, p.lookup(nil), true)
	if err != nil && rev.GetLimits() != nil && !passing(err) {
		next.Limits = rev.GetLimits()
		restored, again := p.prepare(ctx, next, p.lookup(nil), true)
		if again == nil {
			ready, err = restored, nil
		}
	}
	if err != nil {
		return nil, 0, err
	}
	var stored *ruedov1.Service
	pub := store.Publication{Service: next, Action: "rollback", Seen: live.GetVersion(), Decorators: ready.versions}
	if number > was {
		pub.Action = "promote"
	}
	err = p.claim(ctx, next, 0, func(at int64) (err error) {
		pub.Carriers = at
		stored, _, err = p.flip(ctx, pub)
		return err
	})
	return stored, was, err
}

// passing reports whether a preparation failed for a reason that is neither the
// service's nor its decorators': trying again later may help.
func passing(err error) bool {
	switch fault.FromError(err).Reason {
	case fault.NoRunner, fault.PrepareUnavailable, fault.StoreUnavailable, fault.Deadline, fault.Canceled, fault.DecoratorNotFound, fault.Internal:
		return true
	}
	return false
}

// ready is what is known of a revision that runners have prepared.
type ready struct {
	rules        *decorate.Rules
	versions     map[string]int64 // of the decorators that were read
	preparations []*ruedov1.Preparation
}

// prepare makes the runners prepare the revision. It writes nothing. published
// says that the revision was live before: its example was accepted then, and its
// module compiled.
func (p *Publisher) prepare(ctx context.Context, s *ruedov1.Service, look *lookup, published bool) (ready, error) {
	rules, err := look.rules(ctx, s)
	if err != nil {
		return ready{}, err
	}
	if !published {
		if err := checkExample(ctx, s, rules); err != nil {
			return ready{}, err
		}
	}
	id, plan, err := rules.Plan(s.GetRevision())
	if err != nil {
		return ready{}, err
	}
	forget := p.cfg.Catalog.ShareUnpublished(id, plan)
	defer forget()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.PrepareTimeout)
	defer cancel()
	compiled := published || p.cfg.Catalog.Compiled(s.GetRevision().GetModule())
	prepared, err := p.cfg.Dispatcher.Prepare(ctx, &runnerv1.PrepareRequest{Id: id, Plan: plan, Compiled: compiled})
	return ready{rules, look.versions(s.GetRevision()), prepared}, err
}

// checkExample returns why the rules do not accept a service's example.
func checkExample(ctx context.Context, s *ruedov1.Service, rules *decorate.Rules) error {
	example := s.GetRevision().GetExample()
	if len(example) == 0 {
		return nil
	}
	err := rules.Check(ctx, s.GetName(), example)
	if err == nil {
		return nil
	}
	e := *fault.FromError(err)
	e.Message = "the service's example input is invalid: " + e.Message
	e.Fix = "correct the example, or the schema"
	return &e
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

// flip makes a service live if nothing has changed since it was read.
func (p *Publisher) flip(ctx context.Context, pub store.Publication) (*ruedov1.Service, []*ruedov1.Decorator, error) {
	stored, written, err := p.cfg.Store.Publish(ctx, pub)
	if err != nil {
		return nil, nil, err
	}
	return stored, written, p.cfg.Mirror.Wait(ctx, stored.GetVersion())
}

// sameRevision reports whether two revisions differ only in number, time and
// origin.
func sameRevision(a, b *ruedov1.Revision) bool {
	return a != nil &&
		a.GetModule() == b.GetModule() &&
		a.GetKind() == b.GetKind() &&
		slices.Equal(a.GetDecorators(), b.GetDecorators()) &&
		maps.Equal(a.GetEnv(), b.GetEnv()) &&
		slices.Equal(a.GetArgs(), b.GetArgs()) &&
		string(a.GetExample()) == string(b.GetExample()) &&
		a.GetIsolation() == b.GetIsolation() &&
		a.GetPlacement() == b.GetPlacement() &&
		slices.EqualFunc(a.GetHttpExamples(), b.GetHttpExamples(), equal) &&
		slices.EqualFunc(a.GetRoutes(), b.GetRoutes(), equal) &&
		proto.Equal(a.GetInputSchema(), b.GetInputSchema()) &&
		proto.Equal(a.GetOutputSchema(), b.GetOutputSchema())
}

func equal[M proto.Message](a, b M) bool { return proto.Equal(a, b) }
