package publish

import (
	"cmp"
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// change is a decorator that is about to be written.
type change struct {
	store.Change
	admitted *decorate.Decorator
}

// keep keeps the compiled schemas until the mirror has the decorators, so that
// they need not be compiled again.
func keep(changes []change) {
	for _, c := range changes {
		c.admitted.Keep()
	}
}

// CreateDecorator writes a new decorator.
func (p *Publisher) CreateDecorator(ctx context.Context, d *ruedov1.Decorator) (*ruedov1.Decorator, error) {
	admitted, err := p.cfg.Catalog.Compiler().Admit(ctx, d)
	if err != nil {
		return nil, err
	}
	defer admitted.Keep()
	stored, err := p.cfg.Store.CreateDecorator(ctx, d)
	if err != nil {
		return nil, err
	}
	return stored, p.seen(ctx, stored)
}

// UpdateDecorator replaces a decorator if the services that carry it can run
// with the new one.
func (p *Publisher) UpdateDecorator(ctx context.Context, req *ruedov1.UpdateDecoratorRequest) (*ruedov1.UpdateDecoratorResponse, error) {
	next := req.GetDecorator()
	admitted, err := p.cfg.Catalog.Compiler().Admit(ctx, next)
	if err != nil {
		return nil, err
	}
	defer admitted.Keep()
	stored, err := p.cfg.Store.Decorator(ctx, next.GetName())
	switch {
	case errors.Is(err, fault.Integrity): // the update replaces what cannot be read
	case err != nil:
		return nil, err
	case sameDecorator(stored, next):
		return &ruedov1.UpdateDecoratorResponse{Decorator: stored, Unchanged: true}, p.seen(ctx, stored)
	}
	c := change{store.Change{Decorator: next, Seen: cmp.Or(next.GetVersion(), stored.GetVersion())}, admitted}
	if req.GetDryRun() {
		guard := p.carriers([]change{c}, req.GetPublishing(), req.GetForce())
		defer guard.close()
		err := guard.until(ctx, func(int64) error { return nil })
		return &ruedov1.UpdateDecoratorResponse{Decorator: next, Checked: guard.checked()}, err
	}
	written, checked, err := p.change(ctx, c, req.GetForce())
	if err != nil {
		return nil, err
	}
	return &ruedov1.UpdateDecoratorResponse{Decorator: written, Checked: checked}, nil
}

// RollbackDecorator makes an older revision of a decorator live again if the
// services that carry it can run with that revision.
func (p *Publisher) RollbackDecorator(ctx context.Context, req *ruedov1.RollbackDecoratorRequest) (*ruedov1.RollbackDecoratorResponse, error) {
	name, number := req.GetName(), req.GetRevision()
	live, err := p.cfg.Store.Decorator(ctx, name)
	if err != nil {
		return nil, err
	}
	was := live.GetRevision()
	if number == 0 {
		if was <= 1 {
			return nil, fault.New(fault.RevisionNotFound, "decorator %s has no revision before %d", name, was).
				With("decorator", name).WithFix("list the revisions of the decorator")
		}
		number = was - 1
	}
	if number == was {
		return &ruedov1.RollbackDecoratorResponse{Decorator: live, Previous: was}, p.seen(ctx, live)
	}
	next, err := p.cfg.Store.DecoratorRevision(ctx, name, number)
	if err != nil {
		return nil, err
	}
	admitted, err := p.cfg.Catalog.Compiler().Admit(ctx, next)
	if err != nil {
		return nil, err
	}
	defer admitted.Keep()
	c := change{store.Change{Decorator: next, Seen: live.GetVersion(), Revision: number}, admitted}
	written, checked, err := p.change(ctx, c, req.GetForce())
	if err != nil {
		return nil, err
	}
	return &ruedov1.RollbackDecoratorResponse{Decorator: written, Previous: was, Checked: checked}, nil
}

// change writes a decorator when its carriers are ready for it.
func (p *Publisher) change(ctx context.Context, c change, force bool) (written *ruedov1.Decorator, checked uint32, err error) {
	guard := p.carriers([]change{c}, "", force)
	defer guard.close()
	err = guard.until(ctx, func(at int64) (err error) {
		c.Carriers = at
		written, err = p.cfg.Store.UpdateDecorator(ctx, c.Change)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return written, guard.checked(), p.seen(ctx, written)
}

// seen waits until this core's catalog has a decorator and its compiled schema.
func (p *Publisher) seen(ctx context.Context, d *ruedov1.Decorator) error {
	if err := p.cfg.Mirror.Wait(ctx, d.GetVersion()); err != nil {
		return err
	}
	return p.compiled(ctx, []*ruedov1.Decorator{d})
}

func (p *Publisher) compiled(ctx context.Context, ds []*ruedov1.Decorator) error {
	for _, d := range ds {
		if err := p.cfg.Catalog.Decorator(d).Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// maxDefinitions bounds the definitions that come with a publish, in bytes.
const maxDefinitions = 1 << 20

// definitions returns the changes that definitions make to what is stored.
func (p *Publisher) definitions(ctx context.Context, ds []*ruedov1.Decorator) ([]change, error) {
	var changes []change
	size, names := 0, map[string]bool{}
	for _, d := range ds {
		if size += proto.Size(d); size > maxDefinitions {
			return nil, fault.New(fault.RequestInvalid, "the definitions of decorators take more than %d bytes", maxDefinitions).
				With("limit", maxDefinitions).WithFix("write the decorators first, each on its own")
		}
		if names[d.GetName()] {
			return nil, fault.New(fault.RequestInvalid, "decorator %s is defined twice", d.GetName())
		}
		names[d.GetName()] = true
		if err := mayCompare(ctx, d.GetName()); err != nil {
			return nil, err
		}
		admitted, err := p.cfg.Catalog.Compiler().Admit(ctx, d)
		if err != nil {
			return nil, err
		}
		stored, err := p.cfg.Store.Decorator(ctx, d.GetName())
		c := change{store.Change{Decorator: d}, admitted}
		switch {
		case errors.Is(err, fault.DecoratorNotFound):
			c.New = true
		case errors.Is(err, fault.Integrity): // the definition replaces what cannot be read
		case err != nil:
			return nil, err
		case sameDecorator(stored, d):
			continue
		default:
			c.Seen = stored.GetVersion()
		}
		if err := mayDefine(ctx, d.GetName()); err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// sameDecorator compares what the user wrote, not what the store added.
func sameDecorator(a, b *ruedov1.Decorator) bool {
	bare := func(d *ruedov1.Decorator) *ruedov1.Decorator {
		d = proto.CloneOf(d)
		d.CreateTime, d.UpdateTime, d.Version, d.Revision, d.Latest = nil, nil, 0, 0, 0
		return d
	}
	return proto.Equal(bare(a), bare(b))
}
