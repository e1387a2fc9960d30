package api

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store/modules"
	"github.com/ruedo-dev/ruedo/core/upload"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
)

type moduleService struct {
	modules interface {
		StatModule(ctx context.Context, digest string) (*ruedov1.Module, error)
	}
	mirror  *mirror.Mirror
	uploads *upload.Uploads
}

func (s *moduleService) StatModule(ctx context.Context, req *ruedov1.StatModuleRequest) (*ruedov1.StatModuleResponse, error) {
	if !s.visible(ctx, req.GetDigest()) {
		return nil, modules.NotFound(req.GetDigest())
	}
	m, err := s.modules.StatModule(ctx, req.GetDigest())
	if err != nil {
		return nil, err
	}
	return &ruedov1.StatModuleResponse{Module: m}, nil
}

// visible reports whether a caller may know that a module is stored: one of the services
// that the caller may read or publish has it. Others upload it again.
func (s *moduleService) visible(ctx context.Context, digest string) bool {
	r := access.Of(ctx)
	if r == nil {
		return false
	}
	verbs := []access.Verb{access.Read, access.Write}
	if slices.ContainsFunc(verbs, func(v access.Verb) bool {
		return r.Holds(access.Grant{Verb: v, Noun: access.Service, Pattern: "*"})
	}) {
		return true
	}
	for name, service := range s.mirror.Snapshot().Services {
		if service.GetRevision().GetModule() == digest && slices.ContainsFunc(verbs, func(v access.Verb) bool { return r.Allows(v, access.Service, name) }) {
			return true
		}
	}
	return false
}

func (s *moduleService) UploadModule(ctx context.Context, stream *connect.ClientStream[ruedov1.UploadModuleRequest]) (*ruedov1.UploadModuleResponse, error) {
	m, err := s.uploads.Receive(ctx, stream)
	if err != nil {
		return nil, err
	}
	return &ruedov1.UploadModuleResponse{Module: m}, nil
}

var _ ruedov1connect.ModuleServiceHandler = (*moduleService)(nil)
