package runner

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/panics"
	"github.com/ruedo-dev/ruedo/runner/admission"
	"github.com/ruedo-dev/ruedo/runner/egress"
	"github.com/ruedo-dev/ruedo/runner/exchange"
	"github.com/ruedo-dev/ruedo/runner/internal/isolation"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// bound is the runner as seen by one core, from which it gets whatever it
// lacks. Everything else is shared by all cores.
type bound struct {
	*Runner
	src executor.Source
}

var _ executor.Runner = bound{}

// Bind returns the executor for calls of one core. It gets plans and modules
// from src. In a single process the core executes with it.
func (r *Runner) Bind(src executor.Source) executor.Runner { return bound{r, verified{src}} }

// verified is a source whose plans are checked against their ids.
type verified struct{ executor.Source }

func (v verified) Plan(ctx context.Context, id string) (*runnerv1.Plan, error) {
	plan, err := v.Source.Plan(ctx, id)
	if err == nil && plan != nil {
		err = executor.VerifyPlan(id, plan)
	}
	if err != nil {
		return nil, err
	}
	return plan, nil
}

// Execute executes one call.
func (b bound) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (res *runnerv1.ExecuteResponse, err error) {
	defer func() {
		if v := recover(); v != nil {
			res, err = nil, b.panicked(v, req.Service)
		}
	}()
	acquire := func() (*prepared, *fault.Error) {
		if p := b.plans.use(req.Plan); p != nil {
			return p, nil
		}
		// A service is called only after it was published.
		p, err := b.plans.acquire(ctx, &runnerv1.PrepareRequest{Id: req.Plan, Compiled: true}, b.src)
		if err != nil {
			return nil, b.explain(ctx, err, req.Service)
		}
		return p, nil
	}
	var slot admission.Slot[*prepared]
	if len(req.Head) > 0 { // only kind http has heads
		slot, err = b.admission.Open(ctx, req.Service, executor.MaxWait(req), acquire)
	} else {
		slot, err = b.admission.Enter(ctx, req.Service, executor.MaxWait(req), acquire)
	}
	if err != nil {
		return nil, err
	}
	var took time.Duration
	defer func() { slot.Release(took) }()
	call := exchange.Request(ctx, req, slot.Stream)
	var network *egress.Call
	if p := slot.Plan; p.network != nil { // a module that never asks for it pays nothing
		network = p.network.Call(slog.String("service", p.plan.GetService()), slog.Uint64("revision", p.plan.GetRevision()), slog.String("call_id", req.CallId))
		call.Opener = network
	}
	result, err := slot.Plan.template.Call(ctx, call)
	took = result.Duration
	used := network.Report()
	result.Logs = used.AppendTo(result.Logs)
	return b.answer(ctx, slot.Plan, req, result, used, err)
}

// answer turns the outcome of a call into its answer, logs it, and keeps what the
// guest said.
func (b bound) answer(ctx context.Context, p *prepared, req *runnerv1.ExecuteRequest, res sandbox.Result, used egress.Report, err error) (*runnerv1.ExecuteResponse, error) {
	info := figures(res, b.info.Id)
	info.Egress = used.Proto()
	if req.Logs {
		info.Logs, info.Trace = res.Logs, traceOf(err)
	}
	var failed *fault.Error
	if err != nil {
		failed = guestError(err, info)
		if failed.Reason == fault.Internal {
			b.log.Error("a call failed because of the runner", "service", req.Service, "call_id", req.CallId, "runner", b.info.Id, "error", causes(err))
		}
	}
	p.log.Executed(ctx, req.CallId, res.Duration, res.CPU, used.Attr(), failed)
	if failed != nil || len(res.Logs) > 0 {
		b.keep(p.plan, req.CallId, res, failed)
	}
	// A command that has written something and exits with a code has answered, as
	// diff does; one that has written nothing has failed.
	if failed != nil && (failed.Reason != fault.GuestExit || len(res.Output) == 0) {
		return nil, failed
	}
	return &runnerv1.ExecuteResponse{
		Output: res.Output, ContentType: res.ContentType, Info: info,
		Head: res.Head, Trailers: res.Trailers, Streamed: res.Streamed,
	}, nil
}

// figures returns the figures of a call, in a single allocation, because every
// call has them.
func figures(res sandbox.Result, runner string) *ruedov1.CallInfo {
	f := &struct {
		info                   ruedov1.CallInfo
		duration, cpu, restore durationpb.Duration
	}{}
	set := func(d *durationpb.Duration, t time.Duration) *durationpb.Duration {
		d.Seconds, d.Nanos = int64(t/time.Second), int32(t%time.Second)
		return d
	}
	f.info.Runner = runner
	f.info.Duration = set(&f.duration, res.Duration)
	f.info.MemoryBytes = res.Memory
	f.info.LogsDropped = uint64(max(res.LogsDropped, 0))
	f.info.ExitCode = int32(res.ExitCode)
	f.info.CpuTime = set(&f.cpu, res.CPU)
	f.info.Fuel = res.Fuel
	f.info.Cold = res.Cold
	f.info.RestoreTime = set(&f.restore, res.Restore)
	return &f.info
}

// Prepare makes a plan ready: fetched, compiled and started once.
func (b bound) Prepare(ctx context.Context, req *runnerv1.PrepareRequest) (res *runnerv1.PrepareResponse, err error) {
	defer func() {
		if v := recover(); v != nil {
			res, err = nil, b.panicked(v, req.GetPlan().GetService())
		}
	}()
	if err := b.admission.Begin(); err != nil {
		return nil, err
	}
	defer b.admission.End()
	begin := time.Now()
	if req.GetPlan() != nil {
		if err := executor.VerifyPlan(req.GetId(), req.GetPlan()); err != nil {
			return nil, admission.Refuse(b.explain(ctx, err, req.GetPlan().GetService()))
		}
	}
	p, err := b.plans.acquire(ctx, req, b.src)
	if err != nil {
		return nil, admission.Refuse(b.explain(ctx, err, req.GetPlan().GetService()))
	}
	defer p.Release()
	report := p.template.Report()
	b.log.Debug("prepared plan", "service", p.plan.Service, "revision", p.plan.Revision, "plan", short(p.id), "duration", time.Since(begin))
	prepared := &ruedov1.Preparation{
		Runner:          b.info.Id,
		CompileTime:     durationpb.New(report.Compile),
		StartTime:       durationpb.New(report.Start),
		MemoryBytes:     report.Memory,
		Isolation:       isolation.FromSandbox(report.Isolation),
		IsolationReason: report.IsolationReason,
	}
	if report.Warm > 0 {
		prepared.WarmTime = durationpb.New(report.Warm)
	}
	return &runnerv1.PrepareResponse{Preparation: prepared}, nil
}

// explain turns an error into what a caller may know about a plan that cannot
// be made ready. Details for the operator (paths, addresses, texts of the
// system) go to the log instead. The caller can be behind a lane, where causes
// are lost.
func (b bound) explain(ctx context.Context, err error, service string) *fault.Error {
	if ctx.Err() != nil {
		return fault.FromError(ctx.Err())
	}
	if b.admission.Closed() && errors.Is(err, context.Canceled) {
		return b.admission.Draining()
	}
	e := failure(err)
	switch e.Reason {
	case fault.RunnerDisk:
		e.Message = "runner " + b.info.Id + " cannot store modules on its disk" // the cause is already in the log
		return e
	case fault.CoreUnreachable:
		e.Message = "runner " + b.info.Id + " cannot fetch what service " + service + " needs from its core"
	case fault.Internal:
		if e.Meta["id"] != "" {
			return e // it is in the core's log under this id
		}
		e.Message = "service " + service + " cannot be prepared on runner " + b.info.Id + "; its log says why"
	case fault.CompileFailed:
		if causes(e) == e.Message {
			return e
		}
	default:
		return e
	}
	attrs := []any{"service", service, "reason", e.Reason, "runner", b.info.Id, "error", causes(err)}
	if p, ok := errors.AsType[*panics.Error](err); ok {
		attrs = append(attrs, "stack", string(p.Stack))
	}
	b.log.Error("a plan cannot be prepared", attrs...)
	return e
}

// panicked keeps a bug in one call from ending the process.
func (b bound) panicked(v any, service string) *fault.Error {
	b.log.Error("a call panicked", "service", service, "runner", b.info.Id, "panic", v, "stack", string(debug.Stack()))
	return fault.New(fault.Internal, "internal error on runner %s; its log says more", b.info.Id)
}
