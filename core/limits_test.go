package core_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/local"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// planSpy is a runner that records the last plan that it received.
type planSpy struct {
	local.Runner
	mu   sync.Mutex
	last *runnerv1.Plan
}

func (s *planSpy) Bind(src executor.Source) executor.Runner {
	return spiedRunner{s.Runner.Bind(spiedSource{src, s}), s}
}

func (s *planSpy) see(p *runnerv1.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != nil {
		s.last = p
	}
}

func (s *planSpy) cpu() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last.GetLimits().GetCpuTime().AsDuration()
}

type spiedRunner struct {
	executor.Runner
	spy *planSpy
}

func (r spiedRunner) Prepare(ctx context.Context, req *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error) {
	r.spy.see(req.GetPlan())
	return r.Runner.Prepare(ctx, req)
}

type spiedSource struct {
	executor.Source
	spy *planSpy
}

func (s spiedSource) Plan(ctx context.Context, id string) (*runnerv1.Plan, error) {
	p, err := s.Source.Plan(ctx, id)
	s.spy.see(p)
	return p, err
}

// Processor time never exceeds the wall clock, so a limit of cpu that follows
// timeout ends no call before timeout does. What the runner receives shows
// which one applies.
func TestProcessorTimeFollowsTheTimeout(t *testing.T) {
	spy := &planSpy{}
	c := ruedotest.New(t, ruedotest.Options{Local: true, Wrap: func(l local.Runner) local.Runner { spy.Runner = l; return spy }})
	limits := func(timeout, cpu time.Duration) *ruedov1.Decorator {
		d := &ruedov1.Decorator{Name: "time", Limits: &ruedov1.Limits{Timeout: durationpb.New(timeout)}}
		if cpu != 0 {
			d.Limits.CpuTime = durationpb.New(cpu)
		}
		return d
	}
	if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: limits(time.Minute, 0)}); err != nil {
		t.Fatal(err)
	}
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "loop", Decorators: []string{"time"}}, w.Function(w.Forever()).Bytes())
	for _, step := range []struct {
		timeout, cpu time.Duration
		patience     time.Duration // of the caller
		shown        string
		reason       fault.Reason // empty if the caller gives up
		says         string
		holds        time.Duration
	}{
		{timeout: time.Minute, patience: 100 * time.Millisecond, shown: "1m0s as timeout", holds: time.Minute},
		{timeout: time.Minute, cpu: 50 * time.Millisecond, patience: time.Minute, shown: "50ms from time", reason: fault.GuestCPU, says: "raise cpu", holds: 50 * time.Millisecond},
		{timeout: 100 * time.Millisecond, patience: time.Minute, shown: "100ms as timeout", reason: fault.GuestTimeout, says: "the limit is 100ms", holds: 100 * time.Millisecond},
	} {
		if _, err := c.Client.Decorators.UpdateDecorator(t.Context(), &ruedov1.UpdateDecoratorRequest{Decorator: limits(step.timeout, step.cpu)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), step.patience)
		_, err := c.Client.Call(ctx, "loop", nil)
		cancel()
		switch {
		case step.reason != "":
			wantReason(t, err, step.reason, step.says)
		case err == nil:
			t.Error("an endless loop answered")
		}
		if got := spy.cpu(); got != step.holds {
			t.Errorf("timeout %s, cpu %s: the runner was handed %s of processor time, want %s", step.timeout, step.cpu, got, step.holds)
		}
		s, err := c.Client.Services.GetService(t.Context(), &ruedov1.GetServiceRequest{Name: "loop"})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range s.GetLimits() {
			text := l.GetValue() + " from " + l.GetDecorator()
			if l.GetFollows() != "" {
				text = l.GetValue() + " as " + l.GetFollows()
			}
			if l.GetLimit() == "cpu" && text != step.shown {
				t.Errorf("timeout %s, cpu %s: shown as %q, want %q", step.timeout, step.cpu, text, step.shown)
			}
		}
	}
}
