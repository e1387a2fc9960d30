package runner

import (
	"context"
	"errors"
	"log/slog"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/exec"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// bound is the runner as one core sees it: what it lacks it asks that core for.
// Everything else is shared by all cores.
type bound struct {
	*Runner
	src exec.Source
}

var _ exec.Runner = bound{}

// Bind gives the executor for calls of one core, which is asked for plans and
// modules. In a single process it is what the core executes with.
func (r *Runner) Bind(src exec.Source) exec.Runner { return bound{r, src} }

// Execute executes one call.
func (b bound) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	if !b.begin() {
		return nil, b.stopping()
	}
	defer b.inflight.Done()
	if err := b.gate.admit(req.Service); err != nil {
		return nil, err
	}
	defer b.gate.leave(req.Service)
	p, err := b.plans.acquire(ctx, req.Plan, nil, b.src)
	if err != nil {
		return nil, refuse(b.explain(ctx, err, req.Service))
	}
	defer b.plans.release(p)
	if err := p.admit(); err != nil {
		return nil, err
	}
	defer p.leave()
	// The slot comes last: calls that wait for a cold plan do not hold up
	// those whose plan is ready.
	if err := b.gate.acquire(ctx, req.Service); err != nil {
		return nil, err
	}
	defer b.gate.release(req.Service)
	return b.call(ctx, p, req)
}

func (b bound) call(ctx context.Context, p *prepared, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	res, err := p.template.Call(ctx, sandbox.Request{ID: req.CallId, Input: req.Input, ContentType: req.ContentType})
	o := &runnerv1.Outcome{
		Runner:        b.info.Id,
		DurationNanos: int64(res.Duration),
		MemoryBytes:   res.Memory,
		LogsDropped:   uint64(max(res.LogsDropped, 0)),
		ExitCode:      int32(res.ExitCode),
		CpuNanos:      int64(res.CPU),
		Fuel:          res.Fuel,
		Cold:          res.Cold,
		RestoreNanos:  int64(res.Restore),
	}
	if req.Logs {
		o.Logs = res.Logs
	}
	outcome := "ok"
	var failure *fault.Error
	if err != nil {
		failure = guestError(err, o)
		outcome = string(failure.Reason)
	}
	b.log.LogAttrs(ctx, slog.LevelInfo, "executed call",
		slog.String("service", req.Service), slog.String("call_id", req.CallId),
		slog.Uint64("revision", p.plan.Revision), slog.String("plan", p.id[:min(12, len(p.id))]),
		slog.Duration("duration", res.Duration), slog.Duration("cpu", res.CPU), slog.String("outcome", outcome), slog.String("runner", b.info.Id))
	if failure != nil {
		return nil, failure
	}
	return &runnerv1.ExecuteResponse{Output: res.Output, ContentType: res.ContentType, Outcome: o}, nil
}

// Prepare makes a plan ready: fetched, compiled and started once.
func (b bound) Prepare(ctx context.Context, req *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error) {
	if !b.begin() {
		return nil, b.stopping()
	}
	defer b.inflight.Done()
	begin := time.Now()
	p, err := b.plans.acquire(ctx, req.Id, req.Plan, b.src)
	if err != nil {
		return nil, refuse(b.explain(ctx, err, req.GetPlan().GetService()))
	}
	defer b.plans.release(p)
	report := p.template.Report()
	b.log.Debug("prepared plan", "service", p.plan.Service, "revision", p.plan.Revision, "plan", p.id[:min(12, len(p.id))], "duration", time.Since(begin))
	return &runnerv1.PrepareResponse{
		CompileNanos:    int64(report.Compile),
		StartNanos:      int64(report.Start),
		MemoryBytes:     report.Memory,
		Isolation:       fromSandbox(report.Isolation),
		IsolationReason: report.IsolationReason,
		WarmNanos:       int64(report.Warm),
	}, nil
}

// explain tells an end of the caller from an end of the runner.
func (b bound) explain(ctx context.Context, err error, service string) *fault.Error {
	if ctx.Err() != nil {
		return fault.Of(ctx.Err())
	}
	if b.closing.Load() && errors.Is(err, context.Canceled) {
		return b.stopping()
	}
	e := loadError(err)
	if e.Reason == fault.Internal && e.Message == "internal error" {
		e.Message = "service " + service + " cannot be made ready on runner " + b.info.Id
	}
	return e
}

func (b bound) stopping() *fault.Error {
	return refuse(fault.New(fault.RunnerDraining, "runner %s is stopping", b.info.Id))
}
