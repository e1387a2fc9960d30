package api

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/users"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

type userService struct{ users *users.Users }

func (s *userService) CreateUser(ctx context.Context, req *ruedov1.CreateUserRequest) (*ruedov1.CreateUserResponse, error) {
	user, invite, err := s.users.CreateUser(ctx, req.GetUser(), req.GetInviteLifetime().AsDuration())
	return &ruedov1.CreateUserResponse{User: user, Invite: invite}, err
}

func (s *userService) GetUser(ctx context.Context, req *ruedov1.GetUserRequest) (*ruedov1.GetUserResponse, error) {
	user, tokens, err := s.users.User(ctx, req.GetName())
	return &ruedov1.GetUserResponse{User: user, TokenCount: uint32(tokens)}, err
}

func (s *userService) ListUsers(ctx context.Context, req *ruedov1.ListUsersRequest) (*ruedov1.ListUsersResponse, error) {
	items, next, err := page(s.users.Users(ctx), "user", req, nil)
	return &ruedov1.ListUsersResponse{Items: items, NextPageToken: next}, err
}

func (s *userService) UpdateUser(ctx context.Context, req *ruedov1.UpdateUserRequest) (*ruedov1.UpdateUserResponse, error) {
	user, err := s.users.UpdateUser(ctx, req.GetUser())
	return &ruedov1.UpdateUserResponse{User: user}, err
}

func (s *userService) DeleteUser(ctx context.Context, req *ruedov1.DeleteUserRequest) (*ruedov1.DeleteUserResponse, error) {
	return &ruedov1.DeleteUserResponse{}, s.users.DeleteUser(ctx, req.GetName())
}

func (s *userService) CreateInvite(ctx context.Context, req *ruedov1.CreateInviteRequest) (*ruedov1.CreateInviteResponse, error) {
	invite, err := s.users.CreateInvite(ctx, req.GetUser(), req.GetLifetime().AsDuration())
	return &ruedov1.CreateInviteResponse{Invite: invite}, err
}

var _ ruedov1connect.UserServiceHandler = (*userService)(nil)
