package api

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/login"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

type loginService struct{ login *login.Login }

func (s *loginService) Hello(context.Context, *ruedov1.HelloRequest) (*ruedov1.HelloResponse, error) {
	return s.login.Hello()
}

func (s *loginService) Login(ctx context.Context, req *ruedov1.LoginRequest) (*ruedov1.LoginResponse, error) {
	made, t, err := s.login.Login(ctx, req.GetUser(), req.GetPassword())
	if err != nil {
		return nil, err
	}
	return &ruedov1.LoginResponse{Token: made, Secret: t.Reveal()}, nil
}

func (s *loginService) AcceptInvite(ctx context.Context, req *ruedov1.AcceptInviteRequest) (*ruedov1.AcceptInviteResponse, error) {
	made, t, err := s.login.AcceptInvite(ctx, req.GetInvite(), req.GetPassword())
	if err != nil {
		return nil, err
	}
	return &ruedov1.AcceptInviteResponse{Token: made, Secret: t.Reveal()}, nil
}

func (s *loginService) Logout(ctx context.Context, _ *ruedov1.LogoutRequest) (*ruedov1.LogoutResponse, error) {
	return &ruedov1.LogoutResponse{}, s.login.Logout(ctx)
}

func (s *loginService) ChangePassword(ctx context.Context, req *ruedov1.ChangePasswordRequest) (*ruedov1.ChangePasswordResponse, error) {
	made, t, err := s.login.ChangePassword(ctx, req.GetPassword(), req.GetNewPassword())
	if err != nil {
		return nil, err
	}
	return &ruedov1.ChangePasswordResponse{Token: made, Secret: t.Reveal()}, nil
}

func (s *loginService) WhoAmI(ctx context.Context, _ *ruedov1.WhoAmIRequest) (*ruedov1.WhoAmIResponse, error) {
	return s.login.WhoAmI(ctx)
}

func (s *loginService) Can(ctx context.Context, req *ruedov1.CanRequest) (*ruedov1.CanResponse, error) {
	allowed, err := s.login.Can(ctx, req.GetAccess())
	return &ruedov1.CanResponse{Allowed: allowed}, err
}

var _ ruedov1connect.LoginServiceHandler = (*loginService)(nil)
