package api

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/users"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

type tokenService struct{ users *users.Users }

func (s *tokenService) CreateToken(ctx context.Context, req *ruedov1.CreateTokenRequest) (*ruedov1.CreateTokenResponse, error) {
	made, t, err := s.users.CreateToken(ctx, req)
	return &ruedov1.CreateTokenResponse{Token: made, Secret: t.Reveal()}, err
}

func (s *tokenService) ListTokens(ctx context.Context, req *ruedov1.ListTokensRequest) (*ruedov1.ListTokensResponse, error) {
	all, err := s.users.Tokens(ctx, req.GetUser())
	if err != nil {
		return nil, err
	}
	items, next, err := page(all, "token", req, nil)
	return &ruedov1.ListTokensResponse{Items: items, NextPageToken: next}, err
}

func (s *tokenService) RotateToken(ctx context.Context, req *ruedov1.RotateTokenRequest) (*ruedov1.RotateTokenResponse, error) {
	made, t, err := s.users.RotateToken(ctx, req)
	return &ruedov1.RotateTokenResponse{Token: made, Secret: t.Reveal()}, err
}

func (s *tokenService) DeleteToken(ctx context.Context, req *ruedov1.DeleteTokenRequest) (*ruedov1.DeleteTokenResponse, error) {
	return &ruedov1.DeleteTokenResponse{}, s.users.DeleteToken(ctx, req.GetId())
}

func (s *tokenService) EndTokens(ctx context.Context, req *ruedov1.EndTokensRequest) (*ruedov1.EndTokensResponse, error) {
	if req.GetEverybody() {
		return &ruedov1.EndTokensResponse{}, s.users.EndAllTokens(ctx)
	}
	return &ruedov1.EndTokensResponse{}, s.users.EndTokens(ctx, req.GetUser())
}

var _ ruedov1connect.TokenServiceHandler = (*tokenService)(nil)
