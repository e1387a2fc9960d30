package inspect

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

// GetLocalHealth reports how this core is. It names only services and runners that the
// caller may read.
func (i *Inspector) GetLocalHealth(ctx context.Context, _ *ruedov1.GetLocalHealthRequest) (*ruedov1.GetLocalHealthResponse, error) {
	res := i.local()
	res.Unplaced, res.UnplacedTotal = readable(res.Unplaced, res.UnplacedTotal, access.Visible(ctx, access.Service))
	may := access.Visible(ctx, access.Runner)
	res.Runners = slices.DeleteFunc(res.Runners, func(r *ruedov1.Runner) bool { return !may(r.GetId()) })
	return res, nil
}

func (i *Inspector) local() *ruedov1.GetLocalHealthResponse {
	res := &ruedov1.GetLocalHealthResponse{
		Core: i.cfg.Self(), Time: timestamppb.Now(), StoreLatency: durationpb.New(i.cfg.Mirror.StoreLatency()),
		DistributedExecution: i.cfg.Distributed,
	}
	for _, e := range i.cfg.Mirror.Alarms() {
		res.Alarms = append(res.Alarms, &ruedov1.Alarm{Reason: string(e.Reason), Message: e.Error(), Fix: e.Fix})
	}
	ejections := i.cfg.Dispatcher.Ejections()
	for _, m := range i.cfg.Dispatcher.Members() {
		if len(res.Runners) == maxAttached {
			break
		}
		id := m.Info().GetId()
		r := &ruedov1.Runner{Id: id, Version: m.Info().GetVersion(), State: ruedov1.RunnerState_RUNNER_STATE_DRAINING, Ejection: ejections[id]}
		if m.Ready() {
			r.State = ruedov1.RunnerState_RUNNER_STATE_READY
		}
		res.Runners = append(res.Runners, r)
	}
	if !i.cfg.AnyPlacement {
		i.unplaced(res)
	}
	return res
}

// unplaced reports the services whose placement is met by no runner that accepts
// calls and is not cordoned. An ejected runner would get their calls.
func (i *Inspector) unplaced(res *ruedov1.GetLocalHealthResponse) {
	services := i.cfg.Mirror.Snapshot().Services
	cordons := i.cfg.Cordons.Active()
	var sets []map[string]string // labels of the runners that count
	for _, m := range i.cfg.Dispatcher.Members() {
		if m.Ready() && cordons[m.Info().GetId()] == nil {
			sets = append(sets, m.Info().GetLabels())
		}
	}
	met := map[string]bool{"": true} // by placement
	for _, name := range slices.Sorted(maps.Keys(services)) {
		placement := services[name].GetRevision().GetPlacement()
		known, ok := met[placement]
		if !ok {
			selector, err := labels.ParseSelector(placement)
			known = err == nil && slices.ContainsFunc(sets, selector.Matches)
			met[placement] = known
		}
		if known {
			continue
		}
		res.UnplacedTotal++
		if len(res.Unplaced) < maxUnplaced {
			res.Unplaced = append(res.Unplaced, &ruedov1.UnplacedService{Service: name, Placement: placement})
		}
	}
}
