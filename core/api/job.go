package api

import (
	"context"
	"errors"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

type jobService struct {
	jobs interface {
		List(ctx context.Context) (map[string]*ruedov1.Job, error)
		Run(ctx context.Context, name string, dry bool) (*ruedov1.RunJobResponse, error)
	}
	elector interface{ Leader() *ruedov1.Leader }
}

func (s *jobService) ListJobs(ctx context.Context, req *ruedov1.ListJobsRequest) (*ruedov1.ListJobsResponse, error) {
	all, err := s.jobs.List(ctx)
	if err != nil {
		return nil, err
	}
	items, next, err := page(all, "jobs", req, nil)
	if err != nil {
		return nil, err
	}
	return &ruedov1.ListJobsResponse{Items: items, NextPageToken: next}, nil
}

// RunJob tells the caller of a core that does not lead where the leader is.
func (s *jobService) RunJob(ctx context.Context, req *ruedov1.RunJobRequest) (*ruedov1.RunJobResponse, error) {
	res, err := s.jobs.Run(ctx, req.GetName(), req.GetDryRun())
	if l := s.elector.Leader(); l != nil && errors.Is(err, fault.NotLeader) {
		return nil, fault.New(fault.NotLeader, "core %s leads the cluster, so it runs the jobs", l.GetCore()).
			With("leader", l.GetUrl()).WithFix("send the request to %s", l.GetUrl())
	}
	return res, err
}

var _ ruedov1connect.JobServiceHandler = (*jobService)(nil)
