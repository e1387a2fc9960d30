package api

import (
	"context"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

type cordonService struct {
	cordons interface {
		Cordon(ctx context.Context, req *ruedov1.CordonRunnerRequest) (*ruedov1.CordonRunnerResponse, error)
		Uncordon(ctx context.Context, req *ruedov1.UncordonRunnerRequest) (*ruedov1.UncordonRunnerResponse, error)
		Drain(ctx context.Context, req *ruedov1.GetDrainRequest) (*ruedov1.GetDrainResponse, error)
	}
}

func (s *cordonService) CordonRunner(ctx context.Context, req *ruedov1.CordonRunnerRequest) (*ruedov1.CordonRunnerResponse, error) {
	return s.cordons.Cordon(ctx, req)
}

func (s *cordonService) UncordonRunner(ctx context.Context, req *ruedov1.UncordonRunnerRequest) (*ruedov1.UncordonRunnerResponse, error) {
	return s.cordons.Uncordon(ctx, req)
}

func (s *cordonService) GetDrain(ctx context.Context, req *ruedov1.GetDrainRequest) (*ruedov1.GetDrainResponse, error) {
	return s.cordons.Drain(ctx, req)
}

var _ ruedov1connect.CordonServiceHandler = (*cordonService)(nil)
