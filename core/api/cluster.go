package api

import (
	"context"
	"maps"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/mirror"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

type clusterService struct {
	mirror interface {
		Snapshot() *mirror.Snapshot
		Alarms() []*fault.Error
		Stale() bool
		Age() time.Duration
	}
	dispatcher interface {
		Members() []dispatch.Member
		Preparing() map[string][]string
	}
	elector     interface{ Leader() *ruedov1.Leader }
	core        *ruedov1.Core
	cluster     string // id
	distributed bool
}

// ListRunners returns the registered runners as this core sees them: what the
// store says about each, and the state of its lane to this core.
func (s *clusterService) ListRunners(_ context.Context, req *ruedov1.ListRunnersRequest) (*ruedov1.ListRunnersResponse, error) {
	runners := map[string]*ruedov1.Runner{}
	for id, r := range s.mirror.Snapshot().Runners {
		r = proto.CloneOf(r)
		r.State = ruedov1.RunnerState_RUNNER_STATE_DETACHED
		runners[id] = r
	}
	preparing := s.dispatcher.Preparing()
	for _, m := range s.dispatcher.Members() {
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
		r.PlanUsage = m.PlanUsage()
		r.Preparing = preparing[id]
	}
	items, next, err := page(runners, "runners", req, nil)
	if err != nil {
		return nil, err
	}
	return &ruedov1.ListRunnersResponse{Items: items, NextPageToken: next}, nil
}

func (s *clusterService) ListCores(_ context.Context, req *ruedov1.ListCoresRequest) (*ruedov1.ListCoresResponse, error) {
	cores := s.mirror.Snapshot().Cores
	if leader := cores[s.elector.Leader().GetCore()]; leader != nil {
		cores = maps.Clone(cores)
		cores[leader.GetId()] = s.marked(leader)
	}
	items, next, err := page(cores, "cores", req, nil)
	if err != nil {
		return nil, err
	}
	return &ruedov1.ListCoresResponse{Items: items, NextPageToken: next}, nil
}

// marked returns a core with the fact whether it leads.
func (s *clusterService) marked(c *ruedov1.Core) *ruedov1.Core {
	c = proto.CloneOf(c)
	c.Leader = s.elector.Leader().GetCore() == c.GetId()
	return c
}

func (s *clusterService) GetStatus(context.Context, *ruedov1.GetStatusRequest) (*ruedov1.GetStatusResponse, error) {
	snap := s.mirror.Snapshot()
	ready := 0
	for _, m := range s.dispatcher.Members() {
		if m.Ready() {
			ready++
		}
	}
	var alarms []*ruedov1.Alarm
	for _, e := range s.mirror.Alarms() {
		alarms = append(alarms, &ruedov1.Alarm{Reason: string(e.Reason), Message: e.Error(), Fix: e.Fix})
	}
	return &ruedov1.GetStatusResponse{
		ClusterId:            s.cluster,
		Core:                 s.marked(s.core),
		Stale:                s.mirror.Stale(),
		StoreAge:             durationpb.New(s.mirror.Age()),
		Version:              snap.Revision,
		Runners:              uint32(ready),
		Services:             uint32(len(snap.Services)),
		DistributedExecution: s.distributed,
		Alarms:               alarms,
	}, nil
}

var _ ruedov1connect.ClusterServiceHandler = (*clusterService)(nil)
