package core

import (
	"bytes"
	"context"
	"io"

	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/core/store"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/exec"
)

// source is where this core's runners get plans and modules.
type source struct {
	hall  *invoke.Hall
	store *store.Store
}

func (s *source) Plan(ctx context.Context, id string) (*runnerv1.Plan, error) {
	return s.hall.Plan(ctx, id)
}

func (s *source) Module(ctx context.Context, digest string) (io.ReadCloser, error) {
	wasm, err := s.store.ReadModule(ctx, digest)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(wasm)), nil
}

var _ exec.Source = (*source)(nil)
