package api

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/core/mirror"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

type decoratorService struct {
	catalog interface {
		Compiler() *decorate.Compiler
		Decorator(stored *ruedov1.Decorator) *decorate.Decorator
	}
	mirror interface {
		Snapshot() *mirror.Snapshot
		Wait(ctx context.Context, revision int64) error
	}
	store interface {
		Decorator(ctx context.Context, name string) (*ruedov1.Decorator, error)
		CreateDecorator(ctx context.Context, d *ruedov1.Decorator) (*ruedov1.Decorator, error)
		UpdateDecorator(ctx context.Context, d *ruedov1.Decorator, seen int64) (*ruedov1.Decorator, error)
		DeleteDecorator(ctx context.Context, name string) (int64, error)
	}
}

func (s *decoratorService) CreateDecorator(ctx context.Context, req *ruedov1.CreateDecoratorRequest) (*ruedov1.CreateDecoratorResponse, error) {
	admitted, err := s.catalog.Compiler().Admit(ctx, req.GetDecorator())
	if err != nil {
		return nil, err
	}
	d, err := s.store.CreateDecorator(ctx, req.GetDecorator())
	if err != nil {
		return nil, err
	}
	return &ruedov1.CreateDecoratorResponse{Decorator: d}, s.stored(ctx, d, admitted)
}

// stored waits until this core's catalog has a decorator and its compiled
// schema, so that the schema need not be compiled again.
func (s *decoratorService) stored(ctx context.Context, d *ruedov1.Decorator, admitted *decorate.Decorator) error {
	defer admitted.Keep()
	if err := s.mirror.Wait(ctx, d.GetVersion()); err != nil {
		return err
	}
	return s.catalog.Decorator(d).Ready(ctx)
}

func (s *decoratorService) UpdateDecorator(ctx context.Context, req *ruedov1.UpdateDecoratorRequest) (*ruedov1.UpdateDecoratorResponse, error) {
	next := req.GetDecorator()
	admitted, err := s.catalog.Compiler().Admit(ctx, next)
	if err != nil {
		return nil, err
	}
	stored, err := s.store.Decorator(ctx, next.GetName())
	switch {
	case errors.Is(err, fault.Integrity): // the update replaces what cannot be read
	case err != nil:
		return nil, err
	case sameDecorator(stored, next):
		return &ruedov1.UpdateDecoratorResponse{Decorator: stored, Unchanged: true}, nil
	}
	seen := next.GetVersion()
	if seen == 0 {
		seen = stored.GetVersion()
	}
	d, err := s.store.UpdateDecorator(ctx, next, seen)
	if err != nil {
		return nil, err
	}
	return &ruedov1.UpdateDecoratorResponse{Decorator: d}, s.stored(ctx, d, admitted)
}

// sameDecorator compares what the user wrote, not what the store added.
func sameDecorator(a, b *ruedov1.Decorator) bool {
	bare := func(d *ruedov1.Decorator) *ruedov1.Decorator {
		d = proto.CloneOf(d)
		d.CreateTime, d.UpdateTime, d.Version = nil, nil, 0
		return d
	}
	return proto.Equal(bare(a), bare(b))
}

func (s *decoratorService) GetDecorator(ctx context.Context, req *ruedov1.GetDecoratorRequest) (*ruedov1.GetDecoratorResponse, error) {
	snap := s.mirror.Snapshot()
	d, ok := snap.Decorators[req.GetName()]
	if !ok {
		// The store's error suggests the nearest name.
		stored, err := s.store.Decorator(ctx, req.GetName())
		if err != nil {
			return nil, err
		}
		d = stored
	}
	var users []string
	for name, service := range snap.Services {
		if slices.Contains(service.GetRevision().GetDecorators(), req.GetName()) {
			users = append(users, name)
		}
	}
	slices.Sort(users)
	return &ruedov1.GetDecoratorResponse{Decorator: d, Services: users[:min(len(users), maxItems)], ServiceCount: uint32(len(users))}, nil
}

func (s *decoratorService) ListDecorators(_ context.Context, req *ruedov1.ListDecoratorsRequest) (*ruedov1.ListDecoratorsResponse, error) {
	items, next, err := page(s.mirror.Snapshot().Decorators, "decorators "+req.GetTag(), req, tagged[*ruedov1.Decorator](req.GetTag()))
	if err != nil {
		return nil, err
	}
	return &ruedov1.ListDecoratorsResponse{Items: items, NextPageToken: next}, nil
}

func (s *decoratorService) DeleteDecorator(ctx context.Context, req *ruedov1.DeleteDecoratorRequest) (*ruedov1.DeleteDecoratorResponse, error) {
	version, err := s.store.DeleteDecorator(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return &ruedov1.DeleteDecoratorResponse{}, s.mirror.Wait(ctx, version)
}

var _ ruedov1connect.DecoratorServiceHandler = (*decoratorService)(nil)
