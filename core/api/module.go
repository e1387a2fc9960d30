package api

import (
	"context"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/core/upload"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

type moduleService struct {
	modules interface {
		StatModule(ctx context.Context, digest string) (*ruedov1.Module, error)
	}
	uploads *upload.Uploads
}

func (s *moduleService) StatModule(ctx context.Context, req *ruedov1.StatModuleRequest) (*ruedov1.StatModuleResponse, error) {
	m, err := s.modules.StatModule(ctx, req.GetDigest())
	if err != nil {
		return nil, err
	}
	return &ruedov1.StatModuleResponse{Module: m}, nil
}

func (s *moduleService) UploadModule(ctx context.Context, stream *connect.ClientStream[ruedov1.UploadModuleRequest]) (*ruedov1.UploadModuleResponse, error) {
	m, err := s.uploads.Receive(ctx, stream)
	if err != nil {
		return nil, err
	}
	return &ruedov1.UploadModuleResponse{Module: m}, nil
}

var _ ruedov1connect.ModuleServiceHandler = (*moduleService)(nil)
