package api

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/mirror"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
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
		Ejections() map[string]*ruedov1.Ejection
	}
	cordons interface {
		Active() map[string]*ruedov1.Cordon
	}
	elector interface{ Leader() *ruedov1.Leader }
	peers   interface {
		Ask(ctx context.Context, cores map[string]*ruedov1.Core) map[string]*ruedov1.Core
	}
	// self returns this core and how it is.
	self func() *ruedov1.Core

	cluster     string // id
	distributed bool
}

// ListRunners returns the registered runners as this core sees them: what the
// store says about each, and the state of its lane to this core. Runners that are
// away are listed if they are cordoned, so that nobody forgets them.
func (s *clusterService) ListRunners(ctx context.Context, req *ruedov1.ListRunnersRequest) (*ruedov1.ListRunnersResponse, error) {
	runners := map[string]*ruedov1.Runner{}
	for id, r := range s.mirror.Snapshot().Runners {
		r = proto.CloneOf(r)
		r.State = ruedov1.RunnerState_RUNNER_STATE_DETACHED
		r.LaneProtocol, r.LaneUpgraded, r.Outdated = 0, false, false
		runners[id] = r
	}
	cordons := s.cordons.Active()
	for id, c := range cordons {
		if runners[id] == nil {
			runners[id] = &ruedov1.Runner{Id: id, Name: c.GetName(), Host: c.GetHost(), State: ruedov1.RunnerState_RUNNER_STATE_AWAY}
		}
	}
	preparing, may := s.dispatcher.Preparing(), access.Visible(ctx, access.Service)
	for _, m := range s.dispatcher.Members() {
		id := m.Info().GetId()
		r := runners[id]
		if r == nil || r.State == ruedov1.RunnerState_RUNNER_STATE_AWAY {
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
		r.Preparing = slices.DeleteFunc(preparing[id], func(service string) bool { return !may(service) })
		r.LaneProtocol, r.LaneUpgraded, r.Outdated = m.Info().GetLaneProtocol(), m.Info().GetLaneUpgraded(), m.Info().GetOutdated()
	}
	for id, c := range cordons {
		runners[id].Cordon = c
	}
	for id, e := range s.dispatcher.Ejections() {
		if r := runners[id]; r != nil {
			r.Ejection = e
		}
	}
	items, next, err := page(runners, "runners", req, visibleRunner(ctx))
	if err != nil {
		return nil, err
	}
	return &ruedov1.ListRunnersResponse{Items: items, NextPageToken: next}, nil
}

// ListCores returns the registered cores with what each says of itself now. It
// asks the others.
func (s *clusterService) ListCores(ctx context.Context, req *ruedov1.ListCoresRequest) (*ruedov1.ListCoresResponse, error) {
	cores := s.mirror.Snapshot().Cores
	items, next, err := page(cores, "cores", req, nil)
	if err != nil {
		return nil, err
	}
	if len(items) > 0 {
		reports := s.peers.Ask(ctx, cores)
		self := s.self()
		for i := range items {
			items[i] = s.reported(items[i], self, reports)
		}
	}
	return &ruedov1.ListCoresResponse{Items: items, NextPageToken: next}, nil
}

// reported returns a registered core with what it reports.
func (s *clusterService) reported(core, self *ruedov1.Core, reports map[string]*ruedov1.Core) *ruedov1.Core {
	if core.GetId() == self.GetId() {
		return self
	}
	core = proto.CloneOf(core)
	core.Leader = s.elector.Leader().GetCore() == core.GetId()
	core.State = ruedov1.CoreState_CORE_STATE_UNREACHABLE
	if r := reports[core.GetId()]; r != nil {
		core.State, core.Lag, core.LagRevisions, core.CallsPerSecond = r.GetState(), r.GetLag(), r.GetLagRevisions(), r.GetCallsPerSecond()
	}
	return core
}

// GetStatus counts what the caller may read.
func (s *clusterService) GetStatus(ctx context.Context, _ *ruedov1.GetStatusRequest) (*ruedov1.GetStatusResponse, error) {
	snap := s.mirror.Snapshot()
	ready, may := 0, visibleRunner(ctx)
	for _, m := range s.dispatcher.Members() {
		if m.Ready() && may(m.Info()) {
			ready++
		}
	}
	services, mayService := 0, access.Visible(ctx, access.Service)
	for name := range snap.Services {
		if mayService(name) {
			services++
		}
	}
	var alarms []*ruedov1.Alarm
	for _, e := range s.mirror.Alarms() {
		alarms = append(alarms, &ruedov1.Alarm{Reason: string(e.Reason), Message: e.Error(), Fix: e.Fix})
	}
	return &ruedov1.GetStatusResponse{
		ClusterId:            s.cluster,
		Core:                 s.self(),
		Stale:                s.mirror.Stale(),
		StoreAge:             durationpb.New(s.mirror.Age()),
		Version:              snap.Revision,
		Runners:              uint32(ready),
		Services:             uint32(services),
		DistributedExecution: s.distributed,
		Alarms:               alarms,
	}, nil
}

var _ ruedov1connect.ClusterServiceHandler = (*clusterService)(nil)
