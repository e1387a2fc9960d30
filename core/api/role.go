package api

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/users"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

type roleService struct{ users *users.Users }

func (s *roleService) CreateRole(ctx context.Context, req *ruedov1.CreateRoleRequest) (*ruedov1.CreateRoleResponse, error) {
	role, err := s.users.CreateRole(ctx, req.GetRole())
	return &ruedov1.CreateRoleResponse{Role: role}, err
}

func (s *roleService) GetRole(ctx context.Context, req *ruedov1.GetRoleRequest) (*ruedov1.GetRoleResponse, error) {
	role, users, err := s.users.Role(ctx, req.GetName())
	return &ruedov1.GetRoleResponse{Role: role, Users: users}, err
}

func (s *roleService) ListRoles(ctx context.Context, req *ruedov1.ListRolesRequest) (*ruedov1.ListRolesResponse, error) {
	items, next, err := page(s.users.Roles(ctx), "role", req, nil)
	return &ruedov1.ListRolesResponse{Items: items, NextPageToken: next}, err
}

func (s *roleService) UpdateRole(ctx context.Context, req *ruedov1.UpdateRoleRequest) (*ruedov1.UpdateRoleResponse, error) {
	role, err := s.users.UpdateRole(ctx, req.GetRole())
	return &ruedov1.UpdateRoleResponse{Role: role}, err
}

func (s *roleService) DeleteRole(ctx context.Context, req *ruedov1.DeleteRoleRequest) (*ruedov1.DeleteRoleResponse, error) {
	return &ruedov1.DeleteRoleResponse{}, s.users.DeleteRole(ctx, req.GetName())
}

var _ ruedov1connect.RoleServiceHandler = (*roleService)(nil)
