package api

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

type clusterService struct {
	Config
}

// ListRunners gives the registered runners as this core sees them: what the
// store says of each, and how its lane to this core is.
func (s *clusterService) ListRunners(_ context.Context, req *ruedov1.ListRunnersRequest) (*ruedov1.ListRunnersResponse, error) {
	runners := map[string]*ruedov1.Runner{}
	for id, r := range s.Mirror.Snapshot().Runners {
		r = proto.CloneOf(r)
		r.State = ruedov1.RunnerState_RUNNER_STATE_DETACHED
		runners[id] = r
	}
	for _, m := range s.Dispatcher.Members() {
		id := m.Info().GetId()
		r := runners[id]
		if r == nil {
			r = proto.CloneOf(m.Info())
			runners[id] = r
		}
		r.State = ruedov1.RunnerState_RUNNER_STATE_DRAINING
		if m.Ready() {
			r.State = ruedov1.RunnerState_RUNNER_STATE_READY
		}
		r.ActiveCalls = uint32(m.Active())
		r.TotalCalls = m.Total()
	}
	items, next, err := page(runners, "runners", req, nil)
	if err != nil {
		return nil, err
	}
	return &ruedov1.ListRunnersResponse{Items: items, NextPageToken: next}, nil
}

func (s *clusterService) ListCores(_ context.Context, req *ruedov1.ListCoresRequest) (*ruedov1.ListCoresResponse, error) {
	items, next, err := page(s.Mirror.Snapshot().Cores, "cores", req, nil)
	if err != nil {
		return nil, err
	}
	return &ruedov1.ListCoresResponse{Items: items, NextPageToken: next}, nil
}

func (s *clusterService) GetStatus(context.Context, *ruedov1.GetStatusRequest) (*ruedov1.GetStatusResponse, error) {
	snap := s.Mirror.Snapshot()
	ready := 0
	for _, m := range s.Dispatcher.Members() {
		if m.Ready() {
			ready++
		}
	}
	var alarms []*ruedov1.Alarm
	for _, e := range s.Mirror.Alarms() {
		alarms = append(alarms, &ruedov1.Alarm{Reason: string(e.Reason), Message: e.Error(), Fix: e.Fix})
	}
	return &ruedov1.GetStatusResponse{
		ClusterId:            s.Cluster,
		Core:                 s.Core,
		Stale:                s.Mirror.Stale(),
		StoreAge:             durationpb.New(s.Mirror.Age()),
		Version:              snap.Revision,
		Runners:              uint32(ready),
		Services:             uint32(len(snap.Services)),
		DistributedExecution: s.Distributed,
		Alarms:               alarms,
	}, nil
}

var _ ruedov1connect.ClusterServiceHandler = (*clusterService)(nil)
