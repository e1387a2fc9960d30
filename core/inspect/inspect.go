// Package inspect looks at the cluster as a whole. The core that is asked asks the
// other cores, puts together what they report, and judges it:
//
//	i := inspect.New(inspect.Config{...})
//	report, err := i.GetHealth(ctx, &ruedov1.GetHealthRequest{})
//
// [Inspector.ListActivity] lists the calls that run now, on all cores.
//
// Nothing is measured before somebody asks, and nothing is kept. A core that does
// not answer within a second is reported as one that does not. The rules by which
// findings are judged are in judge.go and runners.go; they see the report and
// nothing else.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/peers"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/panics"
)

const (
	// maxAttached bounds the runners in the report of one core, and maxAnswer that
	// report in bytes.
	maxAttached = 10_000
	maxAnswer   = 4 << 20
	// maxUnplaced bounds the services in that report that no runner can execute.
	maxUnplaced = 100
	// maxRunners bounds the runners in the report about the cluster.
	maxRunners = 1000
)

// Config configures an Inspector. All fields are required.
type Config struct {
	Mirror interface {
		Snapshot() *mirror.Snapshot
		Alarms() []*fault.Error
		StoreLatency() time.Duration
	}
	Dispatcher interface {
		Members() []dispatch.Member
		Ejections() map[string]*ruedov1.Ejection
	}
	Cordons interface {
		Active() map[string]*ruedov1.Cordon
	}
	Elector interface{ Leader() *ruedov1.Leader }
	// Catalog knows which revision a plan is of.
	Catalog interface {
		Plan(ctx context.Context, id string) (*runnerv1.Plan, error)
	}
	// Members lists the members of the store.
	Members interface {
		List(ctx context.Context) ([]*ruedov1.Member, string, error)
	}
	Peers *peers.Peers
	// Self returns this core and how it is.
	Self func() *ruedov1.Core
	// Cluster is the id of the cluster.
	Cluster string
	// Distributed reports whether calls always go to a runner.
	Distributed bool
	// AnyPlacement reports whether any runner executes any service.
	AnyPlacement bool
	// Lease is how long a core or a leader that has died is still listed.
	Lease time.Duration
}

// Inspector answers the InspectService of one core. Its methods can be called
// from many goroutines.
type Inspector struct {
	cfg    Config
	health *peers.Question[report]

	activity *peers.Question[activity]
}

// New returns an Inspector. It asks nobody.
func New(cfg Config) *Inspector {
	i := &Inspector{cfg: cfg}
	i.health = peers.NewQuestion(cfg.Peers, i.ask)
	i.activity = peers.NewQuestion(cfg.Peers, i.askActivity)
	return i
}

// Handler returns the path and the handler of the service.
func (i *Inspector) Handler(opts ...connect.HandlerOption) (string, http.Handler) {
	return ruedov1connect.NewInspectServiceHandler(i, opts...)
}

// report is what a core reports, or why it does not.
type report struct {
	*ruedov1.GetLocalHealthResponse
	failed string
	// offset is how far its clock is ahead, accurate to accuracy.
	offset, accuracy time.Duration
}

// ask asks another core. That it does not answer is an answer too.
func (i *Inspector) ask(ctx context.Context, id, url string) *report {
	api := ruedov1connect.NewInspectServiceClient(i.cfg.Peers.Client(), url, connect.WithReadMaxBytes(maxAnswer))
	began := time.Now()
	res, err := api.GetLocalHealth(i.cfg.Peers.Context(ctx), &ruedov1.GetLocalHealthRequest{})
	took := time.Since(began)
	if why := silent(res.GetCore().GetId(), id, url, err); why != "" {
		return &report{failed: why}
	}
	half := took / 2
	return &report{GetLocalHealthResponse: res, offset: res.GetTime().AsTime().Sub(began.Add(half)), accuracy: half}
}

// GetHealth asks all cores how they are, and judges what they report. It names only
// services and runners that the caller may read.
func (i *Inspector) GetHealth(ctx context.Context, _ *ruedov1.GetHealthRequest) (*ruedov1.GetHealthResponse, error) {
	f := &findings{
		cluster: i.cfg.Cluster, lease: i.cfg.Lease, reports: map[string]*report{},
		service: access.Visible(ctx, access.Service), runner: access.Visible(ctx, access.Runner),
	}
	now := i.cfg.Mirror.Snapshot()
	listed := make(chan error, 1)
	go func() {
		listed <- panics.Try(func() error {
			f.members, _, f.membersError = i.cfg.Members.List(ctx)
			return nil
		})
	}()
	maps.Copy(f.reports, i.health.Ask(ctx, now.Cores))
	if p, ok := errors.AsType[*panics.Error](<-listed); ok {
		panic(fmt.Sprintf("%v\n\n%s", p.Value, p.Stack)) // the request of this goroutine fails, and no other
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	own := i.local()
	f.self = own.GetCore().GetId()
	f.reports[f.self] = &report{GetLocalHealthResponse: own}
	f.leader, f.registered, f.cordons = i.cfg.Elector.Leader(), now.Runners, i.cfg.Cordons.Active()
	f.cores = maps.Clone(now.Cores)
	f.cores[f.self] = own.GetCore()
	return f.health(), nil
}

// health returns the findings as the API's message, with what is to be said about
// them.
func (f *findings) health() *ruedov1.GetHealthResponse {
	f.judge()
	res := &ruedov1.GetHealthResponse{ClusterId: f.cluster, Leader: f.leader, Members: f.members, Checks: f.checks}
	for _, c := range f.checks {
		res.Level = max(res.Level, c.GetLevel())
	}
	for _, id := range slices.Sorted(maps.Keys(f.cores)) {
		res.Cores = append(res.Cores, f.core(id))
	}
	runners := f.runners()
	for _, id := range slices.Sorted(maps.Keys(runners)) {
		if len(res.Runners) == maxRunners {
			break
		}
		if !f.runner(id) {
			continue
		}
		res.Runners = append(res.Runners, runners[id])
	}
	return res
}

// core returns what is known of a core.
func (f *findings) core(id string) *ruedov1.CoreHealth {
	r := f.reports[id]
	if r == nil {
		r = &report{failed: "it has no URL"}
	}
	if r.GetLocalHealthResponse == nil {
		core := proto.CloneOf(f.cores[id])
		core.State = ruedov1.CoreState_CORE_STATE_UNREACHABLE
		return &ruedov1.CoreHealth{Core: core, Error: r.failed}
	}
	h := &ruedov1.CoreHealth{
		Core: r.GetCore(), StoreLatency: r.GetStoreLatency(), Alarms: r.GetAlarms(),
		ClockOffset: durationpb.New(r.offset), ClockError: durationpb.New(r.accuracy),
	}
	h.Unplaced, h.UnplacedTotal = readable(r.GetUnplaced(), r.GetUnplacedTotal(), f.service)
	for _, runner := range r.GetRunners() {
		if f.serves(runner) {
			h.ReadyRunners++
		}
	}
	return h
}

// answered returns the ids of the cores that have reported, sorted.
func (f *findings) answered() (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(f.reports)) {
		if f.reports[id].GetLocalHealthResponse != nil {
			ids = append(ids, id)
		}
	}
	return ids
}
