package publish

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// stage prepares and stores the revision of next, and leaves the live one live.
// Callers reach it by its number, and [Publisher.Rollback] makes it live.
func (p *Publisher) stage(ctx context.Context, live, next *ruedov1.Service, changes []change) (*ruedov1.PublishServiceResponse, error) {
	name := next.GetName()
	if live.GetRevision() == nil {
		return nil, fault.New(fault.ServiceNotFound, "service %s has no live revision, so a revision cannot be stored next to it", name).
			With("service", name).WithFix("publish it live first")
	}
	for _, c := range changes {
		if !c.New {
			return nil, fault.New(fault.RequestInvalid, "decorator %s differs from what is stored, and would change for the live revision too", c.Decorator.GetName()).
				With("service", name).WithFix("give the changed decorator a new name, or publish live")
		}
	}
	same := live.GetRevision()
	if live.GetLatest() > same.GetNumber() && !sameRevision(same, next.GetRevision()) {
		var err error
		if same, err = p.cfg.Store.Revision(ctx, name, live.GetLatest()); err != nil {
			same = nil // it is only compared
		}
	}
	if len(changes) == 0 && sameRevision(same, next.GetRevision()) {
		return &ruedov1.PublishServiceResponse{Service: live, Unchanged: true, Staged: same}, p.cfg.Mirror.Wait(ctx, live.GetVersion())
	}
	ready, err := p.prepare(ctx, next, p.lookup(changes), true)
	warnings, err := p.placed(nil, next, true, err)
	if err != nil {
		return nil, err
	}
	rev := next.GetRevision()
	rev.EffectiveIsolation, rev.IsolationReason = isolation(ready.preparations)
	rev.Limits = ready.rules.Limits
	kept := proto.CloneOf(live)
	kept.Latest = next.GetLatest()
	pub := store.Publication{Service: kept, Staged: rev, Seen: live.GetVersion(), Decorators: ready.versions}
	for _, c := range changes {
		pub.Changes = append(pub.Changes, c.Change)
	}
	res := &ruedov1.PublishServiceResponse{Preparations: ready.preparations, Staged: rev, Warnings: warnings}
	if res.Service, res.Definitions, err = p.flip(ctx, pub); err != nil {
		return nil, err
	}
	return res, p.compiled(ctx, res.GetDefinitions())
}
