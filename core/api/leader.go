package api

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/leader"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

type leaderService struct {
	elector interface {
		Leader() *ruedov1.Leader
		Yield(ctx context.Context, to string) (next *ruedov1.Leader, previous string, err error)
	}
}

func (s *leaderService) GetLeader(context.Context, *ruedov1.GetLeaderRequest) (*ruedov1.GetLeaderResponse, error) {
	l := s.elector.Leader()
	if l == nil {
		return nil, leader.NoLeader()
	}
	return &ruedov1.GetLeaderResponse{Leader: l}, nil
}

func (s *leaderService) YieldLeadership(ctx context.Context, req *ruedov1.YieldLeadershipRequest) (*ruedov1.YieldLeadershipResponse, error) {
	next, previous, err := s.elector.Yield(ctx, req.GetTo())
	if err != nil {
		return nil, err
	}
	return &ruedov1.YieldLeadershipResponse{Leader: next, Previous: previous, Unchanged: next.GetCore() == previous}, nil
}

var _ ruedov1connect.LeaderServiceHandler = (*leaderService)(nil)
