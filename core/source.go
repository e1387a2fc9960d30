package core

import (
	"context"
	"io"

	"github.com/ruedo-dev/ruedo/core/catalog"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
)

// source provides this core's runners with plans and modules.
type source struct {
	catalog *catalog.Catalog
	modules *modules
}

func (s *source) Plan(ctx context.Context, id string) (*runnerv1.Plan, error) {
	return s.catalog.Plan(ctx, id)
}

func (s *source) Module(ctx context.Context, digest string) (io.ReadCloser, error) {
	return s.modules.open(ctx, digest)
}

var _ executor.Source = (*source)(nil)
