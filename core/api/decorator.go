package api

import (
	"context"
	"slices"

	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/packed"
)

type decoratorService struct {
	publisher interface {
		CreateDecorator(ctx context.Context, d *ruedov1.Decorator) (*ruedov1.Decorator, error)
		UpdateDecorator(ctx context.Context, req *ruedov1.UpdateDecoratorRequest) (*ruedov1.UpdateDecoratorResponse, error)
		RollbackDecorator(ctx context.Context, req *ruedov1.RollbackDecoratorRequest) (*ruedov1.RollbackDecoratorResponse, error)
	}
	mirror interface {
		Snapshot() *mirror.Snapshot
		Wait(ctx context.Context, revision int64) error
	}
	store interface {
		Decorator(ctx context.Context, name string) (*ruedov1.Decorator, error)
		DecoratorRevisions(ctx context.Context, name string, p store.Page) ([]*ruedov1.Decorator, uint64, error)
		DeleteDecorator(ctx context.Context, name string) (int64, error)
	}
}

func (s *decoratorService) CreateDecorator(ctx context.Context, req *ruedov1.CreateDecoratorRequest) (*ruedov1.CreateDecoratorResponse, error) {
	d, err := s.publisher.CreateDecorator(ctx, req.GetDecorator())
	if err != nil {
		return nil, err
	}
	return &ruedov1.CreateDecoratorResponse{Decorator: d}, nil
}

func (s *decoratorService) UpdateDecorator(ctx context.Context, req *ruedov1.UpdateDecoratorRequest) (*ruedov1.UpdateDecoratorResponse, error) {
	return s.publisher.UpdateDecorator(ctx, req)
}

func (s *decoratorService) RollbackDecorator(ctx context.Context, req *ruedov1.RollbackDecoratorRequest) (*ruedov1.RollbackDecoratorResponse, error) {
	return s.publisher.RollbackDecorator(ctx, req)
}

func (s *decoratorService) ListDecoratorRevisions(ctx context.Context, req *ruedov1.ListDecoratorRevisionsRequest) (*ruedov1.ListDecoratorRevisionsResponse, error) {
	items, next, err := revisions(ctx, "decorator-revisions "+req.GetName(), req.GetName(), req, s.store.DecoratorRevisions)
	if err != nil {
		return nil, err
	}
	return &ruedov1.ListDecoratorRevisionsResponse{Items: items, NextPageToken: next}, nil
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
	may := access.Visible(ctx, access.Service)
	for name, service := range snap.Services {
		if may(name) && slices.Contains(service.GetRevision().GetDecorators(), req.GetName()) {
			users = append(users, name)
		}
	}
	slices.Sort(users)
	return &ruedov1.GetDecoratorResponse{Decorator: packed.Open(d), Services: users[:min(len(users), maxItems)], ServiceCount: uint32(len(users))}, nil
}

func (s *decoratorService) ListDecorators(ctx context.Context, req *ruedov1.ListDecoratorsRequest) (*ruedov1.ListDecoratorsResponse, error) {
	items, next, err := page(s.mirror.Snapshot().Decorators, "decorators "+req.GetTag(), req, visible(ctx, access.Decorator, tagged[*ruedov1.Decorator](req.GetTag())))
	if err != nil {
		return nil, err
	}
	for i := range items {
		items[i] = packed.Open(items[i])
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
