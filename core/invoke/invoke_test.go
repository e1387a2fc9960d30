package invoke_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/invoke"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// counter counts how often a name is resolved.
type counter struct {
	*catalog.Catalog
	resolved int
}

func (c *counter) Resolve(ctx context.Context, service string) (*catalog.Entry, error) {
	c.resolved++
	return c.Catalog.Resolve(ctx, service)
}

// echo answers with the plan and the input of each call.
func echo(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	return &runnerv1.ExecuteResponse{Output: []byte(req.GetPlan() + " " + string(req.GetInput()))}, nil
}

func TestACallIsResolvedOnceAndKeepsWhatItBeganWith(t *testing.T) {
	m := coretest.NewMirror()
	m.Set(nil, coretest.Service("greet", 1))
	c := &counter{Catalog: catalog.New(catalog.Config{Mirror: m, Executor: executor.Func(echo)})}
	inv := invoke.New(invoke.Config{Catalog: c})
	call, err := inv.Begin(coretest.Context(t), "greet")
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Catalog.Resolve(t.Context(), "greet")
	if err != nil {
		t.Fatal(err)
	}
	m.Set(nil, coretest.Service("greet", 2)) // while the body arrives
	if call.InputLimit() == 0 || !errors.Is(call.TooLarge("5 bytes"), fault.InputTooLarge) {
		t.Errorf("limit %d, %v", call.InputLimit(), call.TooLarge("5 bytes"))
	}
	res, err := call.Do(t.Context(), invoke.Input{Body: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if string(res.Output) != first.PlanID+" x" || res.Info.GetRevision() != 1 || res.ContentType == "" {
		t.Errorf("%q, revision %d, %s", res.Output, res.Info.GetRevision(), res.ContentType)
	}
	if c.resolved != 1 {
		t.Errorf("the service was resolved %d times", c.resolved)
	}
	if again, err := inv.Begin(coretest.Context(t), "greet"); err != nil {
		t.Error(err)
	} else if res, err := again.Do(t.Context(), invoke.Input{}); err != nil || res.Info.GetRevision() != 2 {
		t.Errorf("the next call: %v, %v", res, err)
	}
	if _, err := inv.Begin(coretest.Context(t), "gret"); !errors.Is(err, fault.ServiceNotFound) {
		t.Errorf("a service that does not exist: %v", err)
	}
}

func TestBeginAllocatesNothing(t *testing.T) {
	m := coretest.NewMirror()
	m.Set(nil, coretest.Service("greet", 1))
	inv := invoke.New(invoke.Config{Catalog: catalog.New(catalog.Config{Mirror: m})})
	ctx, failed := coretest.Context(t), false
	if n := testing.AllocsPerRun(100, func() {
		call, err := inv.Begin(ctx, "greet")
		failed = failed || err != nil || call.InputLimit() == 0
	}); n > 0 || failed {
		t.Errorf("%v allocations, failed %t", n, failed)
	}
}

// observed is what Observe was told.
type observed struct {
	service string
	outcome fault.Reason
	info    *ruedov1.CallInfo
}

// begin begins a call of the service greet.
func begin(t *testing.T, execute executor.Func, observe func(observed), decorators ...*ruedov1.Decorator) invoke.Call {
	t.Helper()
	m := coretest.NewMirror()
	var names []string
	for _, d := range decorators {
		names = append(names, d.GetName())
	}
	m.Set(decorators, coretest.Service("greet", 3, names...))
	call, err := invoke.New(invoke.Config{
		Catalog: catalog.New(catalog.Config{Mirror: m, Executor: execute}),
		Observe: func(of *catalog.Entry, outcome fault.Reason, _ time.Duration, info *ruedov1.CallInfo) {
			if observe != nil {
				observe(observed{of.Name, outcome, info})
			}
		},
	}).Begin(coretest.Context(t), "greet")
	if err != nil {
		t.Fatal(err)
	}
	return call
}

func TestAFailureSaysWhichCallItWasAndWhoSetTheLimit(t *testing.T) {
	var seen []observed
	logs := []byte(strings.Repeat("a line\n", 2000))
	original := fault.New(fault.GuestMemory, "the guest needs more memory")
	original.Details = []any{&ruedov1.CallInfo{Runner: "r1", Logs: logs}}
	call := begin(t, func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return nil, original
	},
		func(o observed) { seen = append(seen, o) },
		&ruedov1.Decorator{Name: "wide", Version: 1, Limits: &ruedov1.Limits{MemoryBytes: 64 << 20}},
		&ruedov1.Decorator{Name: "narrow", Version: 1, Limits: &ruedov1.Limits{MemoryBytes: 1 << 20}})
	for _, wanted := range []bool{false, true} {
		res, err := call.Do(t.Context(), invoke.Input{Logs: wanted})
		info, ok := fault.Detail[*ruedov1.CallInfo](err)
		if res != nil || !errors.Is(err, fault.GuestMemory) || !ok || info.GetRunner() != "r1" || info.GetRevision() != 3 || info.GetCallId() == "" {
			t.Fatalf("%v, %v, %v", res, err, info)
		}
		if got := fault.FromError(err).Meta["decorator"]; got != "narrow" {
			t.Errorf("the limit is from %q, want the strictest", got)
		}
		switch n := uint64(len(info.GetLogs())); {
		case !wanted && n+info.GetLogsDropped() > 0:
			t.Errorf("nobody asked for logs, and %d bytes came", n)
		case wanted && (n == 0 || n > 8<<10 || n%7 != 0 || n+info.GetLogsDropped() != uint64(len(logs))):
			t.Errorf("%d bytes of logs, %d dropped: want the last whole lines", n, info.GetLogsDropped())
		}
	}
	if len(original.Meta) > 0 || original.Details[0].(*ruedov1.CallInfo).GetRevision() != 0 {
		t.Errorf("the error that the runner returned has changed: %v", original)
	}
	if len(seen) != 2 || seen[0].service != "greet" || seen[0].outcome != fault.GuestMemory || seen[0].info.GetRunner() != "r1" {
		t.Errorf("observed %v", seen)
	}
}

func TestAnInputThatIsRefusedReachesNobody(t *testing.T) {
	var seen []observed
	call := begin(t, func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		t.Error("it is executed")
		return nil, nil
	}, func(o observed) { seen = append(seen, o) }, coretest.Decorator(t, "named", 1, `{"required":["name"]}`))
	_, err := call.Do(t.Context(), invoke.Input{Body: []byte(`{}`)})
	testkit.WantReason(t, err, fault.InputInvalid)
	if len(seen) != 1 || seen[0].outcome != fault.InputInvalid || seen[0].info.GetRunner() != "" {
		t.Errorf("observed %v", seen)
	}
}

// The runner stops the guest in time; this core waits a little longer than the
// call can wait for its turn and execute, and no longer than its caller.
func TestACallHasADeadlineWhateverItsCallerSays(t *testing.T) {
	var left time.Duration
	call := begin(t, func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		if wait := time.Duration(req.GetMaxWaitNanos()); wait != 5*time.Second {
			t.Errorf("it can wait for %s", wait)
		}
		end, ok := ctx.Deadline()
		if left = time.Until(end); !ok {
			t.Error("there is no deadline")
		}
		return &runnerv1.ExecuteResponse{}, nil
	}, nil, &ruedov1.Decorator{Name: "slow", Version: 1, Limits: &ruedov1.Limits{Timeout: durationpb.New(time.Hour)}})
	short, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, c := range []struct {
		ctx  context.Context
		want time.Duration
	}{{t.Context(), 5*time.Second + time.Hour + 2*time.Second}, {short, time.Minute}} {
		if _, err := call.Do(c.ctx, invoke.Input{}); err != nil {
			t.Fatal(err)
		}
		if left > c.want || left < c.want-10*time.Second {
			t.Errorf("%v are left, want %v", left, c.want)
		}
	}
}

func TestTheMediaTypeOfAnOutput(t *testing.T) {
	for _, c := range []struct {
		kind              ruedov1.Kind
		sent, set, output string
		want              string
	}{
		{ruedov1.Kind_KIND_FUNCTION, "", "", "x", "application/json"},
		{ruedov1.Kind_KIND_FUNCTION, "text/csv", "", "x", "text/csv"},
		{ruedov1.Kind_KIND_FUNCTION, "text/csv", "image/png", "x", "image/png"},
		{ruedov1.Kind_KIND_COMMAND, "text/csv", "", "x", "text/plain; charset=utf-8"},
		{ruedov1.Kind_KIND_COMMAND, "text/csv", "", "\xff", "application/octet-stream"},
	} {
		m := coretest.NewMirror()
		s := coretest.Service("greet", 1)
		s.Revision.Kind = c.kind
		m.Set(nil, s)
		call, err := coretest.NewInvoker(m, executor.Func(func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
			return &runnerv1.ExecuteResponse{Output: []byte(c.output), ContentType: c.set}, nil
		})).Begin(coretest.Context(t), "greet")
		if err != nil {
			t.Fatal(err)
		}
		res, err := call.Do(t.Context(), invoke.Input{ContentType: c.sent})
		if err != nil || res.ContentType != c.want {
			t.Errorf("%+v: %s, %v", c, res.ContentType, err)
		}
	}
}

// A call that can last ends when its caller may not have it any more; others end soon.
func TestACallEndsWithItsPermission(t *testing.T) {
	long := &ruedov1.Decorator{Name: "long", Limits: &ruedov1.Limits{Timeout: durationpb.New(time.Hour)}}
	revoked := fault.New(fault.Unauthenticated, "this needs a login that is good")
	followed, left := 0, 0
	m := coretest.NewMirror()
	m.Set([]*ruedov1.Decorator{long}, coretest.Service("greet", 1), coretest.Service("slow", 1, "long"))
	end := func(error) {}
	inv := invoke.New(invoke.Config{
		Catalog: catalog.New(catalog.Config{Mirror: m, Executor: executor.Func(func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
			if string(req.GetInput()) != "wait" {
				return echo(ctx, req)
			}
			end(revoked)
			<-ctx.Done()
			return nil, ctx.Err()
		})}),
		Follow: func(_ context.Context, service string, stop func(error)) func() {
			if followed++; service != "slow" {
				t.Errorf("calls of %s are followed", service)
			}
			end = stop
			return func() { left++ }
		},
	})
	for service, input := range map[string]string{"greet": "", "slow": "wait"} {
		call, err := inv.Begin(coretest.Context(t), service)
		if err != nil {
			t.Fatal(err)
		}
		_, err = call.Do(coretest.Context(t), invoke.Input{Body: []byte(input)})
		if input == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		testkit.WantReason(t, err, fault.Unauthenticated)
		if info, ok := fault.Detail[*ruedov1.CallInfo](err); !ok || info.GetCallId() == "" {
			t.Errorf("which call was it? %v", info)
		}
	}
	if followed != 1 || left != 1 {
		t.Errorf("followed %d times, and left %d times", followed, left)
	}
	if revoked.Details != nil {
		t.Error("the reason has changed")
	}
}
