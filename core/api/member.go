package api

import (
	"context"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

type memberService struct {
	members interface {
		List(ctx context.Context) ([]*ruedov1.Member, string, error)
		Local(ctx context.Context) (*ruedov1.Member, error)
		Add(ctx context.Context, req *ruedov1.AddMemberRequest) (*ruedov1.AddMemberResponse, error)
		Remove(ctx context.Context, member string, force bool) (*ruedov1.Member, error)
		Replace(ctx context.Context, member, url string, force bool) (removed, added *ruedov1.Member, err error)
		Promote(ctx context.Context, member string) (*ruedov1.Member, error)
		Compact(ctx context.Context) (int64, []*ruedov1.CompactedMember, error)
		Defragment(ctx context.Context) (*ruedov1.CompactedMember, error)
	}
}

func (s *memberService) ListMembers(ctx context.Context, _ *ruedov1.ListMembersRequest) (*ruedov1.ListMembersResponse, error) {
	items, store, err := s.members.List(ctx)
	if err != nil {
		return nil, err
	}
	return &ruedov1.ListMembersResponse{Items: items, StoreId: store}, nil
}

func (s *memberService) GetLocalMember(ctx context.Context, _ *ruedov1.GetLocalMemberRequest) (*ruedov1.GetLocalMemberResponse, error) {
	m, err := s.members.Local(ctx)
	if err != nil {
		return nil, err
	}
	return &ruedov1.GetLocalMemberResponse{Member: m}, nil
}

func (s *memberService) AddMember(ctx context.Context, req *ruedov1.AddMemberRequest) (*ruedov1.AddMemberResponse, error) {
	return s.members.Add(ctx, req)
}

func (s *memberService) RemoveMember(ctx context.Context, req *ruedov1.RemoveMemberRequest) (*ruedov1.RemoveMemberResponse, error) {
	m, err := s.members.Remove(ctx, req.GetMember(), req.GetForce())
	if err != nil {
		return nil, err
	}
	return &ruedov1.RemoveMemberResponse{Member: m}, nil
}

func (s *memberService) ReplaceMember(ctx context.Context, req *ruedov1.ReplaceMemberRequest) (*ruedov1.ReplaceMemberResponse, error) {
	removed, added, err := s.members.Replace(ctx, req.GetMember(), req.GetPeerUrl(), req.GetForce())
	if err != nil {
		return nil, err
	}
	return &ruedov1.ReplaceMemberResponse{Removed: removed, Added: added}, nil
}

func (s *memberService) PromoteMember(ctx context.Context, req *ruedov1.PromoteMemberRequest) (*ruedov1.PromoteMemberResponse, error) {
	m, err := s.members.Promote(ctx, req.GetMember())
	if err != nil {
		return nil, err
	}
	return &ruedov1.PromoteMemberResponse{Member: m}, nil
}

func (s *memberService) CompactStore(ctx context.Context, _ *ruedov1.CompactStoreRequest) (*ruedov1.CompactStoreResponse, error) {
	version, members, err := s.members.Compact(ctx)
	if err != nil {
		return nil, err
	}
	return &ruedov1.CompactStoreResponse{Version: version, Members: members}, nil
}

func (s *memberService) DefragmentLocalMember(ctx context.Context, _ *ruedov1.DefragmentLocalMemberRequest) (*ruedov1.DefragmentLocalMemberResponse, error) {
	m, err := s.members.Defragment(ctx)
	if err != nil {
		return nil, err
	}
	return &ruedov1.DefragmentLocalMemberResponse{Member: m}, nil
}

var _ ruedov1connect.MemberServiceHandler = (*memberService)(nil)
