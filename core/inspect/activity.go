package inspect

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

const (
	// maxCalls bounds the calls of an answer.
	maxCalls = 1000
	// maxSeen bounds the calls among which those that have run the longest are
	// looked for.
	maxSeen = 20_000
)

// activity is what a core says of its calls, or why it does not.
type activity struct {
	*ruedov1.ListLocalActivityResponse
	failed string
}

// askActivity asks another core.
func (i *Inspector) askActivity(ctx context.Context, id, url string) *activity {
	api := ruedov1connect.NewInspectServiceClient(i.cfg.Peers.Client(), url, connect.WithReadMaxBytes(maxAnswer))
	res, err := api.ListLocalActivity(i.cfg.Peers.Context(ctx), &ruedov1.ListLocalActivityRequest{})
	if why := silent(res.GetCore(), id, url, err); why != "" {
		return &activity{failed: why}
	}
	return &activity{ListLocalActivityResponse: res}
}

// silent returns why an answer is not that of the core with an id, "" if it is.
func silent(got, id, url string, err error) string {
	switch {
	case connect.CodeOf(err) == connect.CodeDeadlineExceeded:
		return "it does not answer in time"
	case err != nil:
		return cause(err)
	case got != id:
		return "core " + got + " answers at its URL " + url
	}
	return ""
}

// cause returns the text of an error of a request, without its code.
func cause(err error) string {
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return e.Message()
	}
	return err.Error()
}

// ListLocalActivity lists the calls that this core has sent to runners, of services
// that the caller may read. They are read where they wait for their answers, so that
// a call costs nothing more.
func (i *Inspector) ListLocalActivity(ctx context.Context, _ *ruedov1.ListLocalActivityRequest) (*ruedov1.ListLocalActivityResponse, error) {
	may := mayList(ctx)
	self := i.cfg.Self().GetId()
	res := &ruedov1.ListLocalActivityResponse{Core: self}
	type found struct {
		executor.InFlight
		runner string
	}
	var all []found
	for _, m := range i.cfg.Dispatcher.Members() {
		if may.all {
			res.Total += uint64(m.Active())
		}
		if busy, ok := m.(executor.Busy); ok {
			for _, c := range busy.InFlight(maxSeen - len(all)) {
				if c.Service != "" && may.service(c.Service) { // a probe has none
					all = append(all, found{c, m.Info().GetId()})
				}
			}
		}
	}
	if !may.all {
		res.Total = uint64(len(all))
	}
	// Ids of calls sort by time.
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.CallID, b.CallID) })
	now := time.Now()
	for _, f := range all[:min(len(all), maxCalls)] {
		call := &ruedov1.RunningCall{CallId: f.CallID, Service: f.Service, Runner: f.runner, Caller: port.Caller(f.Context), Core: self}
		if id, err := ulid.ParseStrict(f.CallID); err == nil {
			call.StartTime, call.Duration = timestamppb.New(id.Timestamp()), durationpb.New(max(now.Sub(id.Timestamp()), 0))
		}
		if plan, err := i.cfg.Catalog.Plan(ctx, f.Plan); err == nil { // it may be gone
			call.Revision = plan.GetRevision()
		}
		res.Items = append(res.Items, call)
	}
	return res, nil
}

// ListActivity asks all cores for their calls.
func (i *Inspector) ListActivity(ctx context.Context, req *ruedov1.ListActivityRequest) (*ruedov1.ListActivityResponse, error) {
	now := i.cfg.Mirror.Snapshot()
	self := i.cfg.Self()
	cores := maps.Clone(now.Cores)
	if cores == nil {
		cores = map[string]*ruedov1.Core{}
	}
	cores[self.GetId()] = self
	if id := req.GetCore(); id != "" && cores[id] == nil {
		return nil, unknown(fault.CoreNotFound, "core", id, slices.Collect(maps.Keys(cores)))
	}
	may := mayList(ctx)
	local, err := i.ListLocalActivity(ctx, nil)
	if err != nil {
		return nil, err
	}
	answers := maps.Clone(i.activity.Ask(ctx, now.Cores))
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if answers == nil {
		answers = map[string]*activity{}
	}
	answers[self.GetId()] = &activity{ListLocalActivityResponse: local}
	res := &ruedov1.ListActivityResponse{}
	for _, id := range slices.Sorted(maps.Keys(cores)) {
		a := answers[id]
		if a == nil {
			a = &activity{failed: "it has no URL"}
		}
		if a.ListLocalActivityResponse == nil {
			res.SilentCores = append(res.SilentCores, &ruedov1.CoreHealth{Core: cores[id], Error: a.failed})
			continue
		}
		if may.all {
			res.Total += a.GetTotal()
		}
		for _, c := range a.GetItems() {
			if !may.service(c.GetService()) {
				continue
			}
			if !may.all {
				res.Total++
			}
			if wanted(c, req) {
				res.Items = append(res.Items, c)
			}
		}
	}
	if id := req.GetRunner(); id != "" && len(res.Items) == 0 && !(i.runs(id) && access.Visible(ctx, access.Runner)(id)) {
		visible := access.Visible(ctx, access.Runner)
		known := slices.DeleteFunc(slices.Collect(maps.Keys(now.Runners)), func(id string) bool { return !visible(id) })
		return nil, unknown(fault.RunnerNotFound, "runner", id, known)
	}
	slices.SortFunc(res.Items, func(a, b *ruedov1.RunningCall) int {
		return cmp.Or(cmp.Compare(b.GetDuration().AsDuration(), a.GetDuration().AsDuration()), cmp.Compare(a.GetCallId(), b.GetCallId()))
	})
	res.Items = res.Items[:min(len(res.Items), maxCalls)]
	return res, nil
}

// listed is what a caller may be told of calls: those of some services, or of all.
type listed struct {
	service func(name string) bool
	all     bool
}

func mayList(ctx context.Context) listed {
	r := access.Of(ctx)
	return listed{access.Visible(ctx, access.Service), r != nil && r.Holds(access.Grant{Verb: access.Read, Noun: access.Service, Pattern: "*"})}
}

func wanted(c *ruedov1.RunningCall, req *ruedov1.ListActivityRequest) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return is(req.GetService(), c.GetService()) && is(req.GetRunner(), c.GetRunner()) && is(req.GetCore(), c.GetCore())
}

// runs reports whether a runner is registered, or attached to this core.
func (i *Inspector) runs(id string) bool {
	if i.cfg.Mirror.Snapshot().Runners[id] != nil {
		return true
	}
	for _, m := range i.cfg.Dispatcher.Members() {
		if m.Info().GetId() == id {
			return true
		}
	}
	return false
}

func unknown(reason fault.Reason, noun, id string, known []string) error {
	return fault.New(reason, "there is no %s %q", noun, id).WithFix("%s", suggest.Or(id, known, "list the "+noun+"s"))
}
