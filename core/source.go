package core

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/shelf"
	"github.com/ruedo-dev/ruedo/core/store"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
)

// source provides this core's runners with plans and modules.
type source struct {
	*shelf.Shelf
	catalog *catalog.Catalog
}

func newSource(c *catalog.Catalog, s *store.Store) *source {
	return &source{catalog: c, Shelf: shelf.New(shelf.Config{
		Open: func(ctx context.Context, digest string) (shelf.Module, error) { return s.OpenModule(ctx, digest) },
		Verify: func(ctx context.Context, digest string) error {
			_, err := s.ReadModule(ctx, digest)
			return err
		},
	})}
}

func (s *source) Plan(ctx context.Context, id string) (*runnerv1.Plan, error) {
	return s.catalog.Plan(ctx, id)
}

var (
	_ executor.Source      = (*source)(nil)
	_ executor.ChunkSource = (*source)(nil)
)
