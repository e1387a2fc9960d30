// Package local is the runner of a core that executes calls itself, as one of those
// that the dispatcher chooses from.
package local

import (
	"context"
	"sync/atomic"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Runner is a runner in this process. It executes calls once it is bound to the
// source of its modules.
type Runner interface {
	Bind(src executor.Source) executor.Runner
	Info() *ruedov1.Runner
	// PlanUsage returns what the runner holds ready.
	PlanUsage() *ruedov1.PlanUsage
}

// Member is the runner of this process as the dispatcher has it. Its methods can be
// called from many goroutines.
type Member struct {
	executor.Runner
	info   *ruedov1.Runner
	usage  func() *ruedov1.PlanUsage
	active atomic.Int64
	total  atomic.Uint64
	slots  slots
}

// New returns the member for a runner, with the source of its plans and modules.
func New(r Runner, src executor.Source) *Member {
	return &Member{Runner: r.Bind(src), info: r.Info(), usage: r.PlanUsage}
}

// Execute executes a call.
func (m *Member) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	m.active.Add(1)
	defer m.active.Add(-1)
	m.total.Add(1)
	defer m.slots.take(ctx, req).free()
	return m.Runner.Execute(ctx, req)
}

// ReadLogs asks the runner, if it keeps logs.
func (m *Member) ReadLogs(ctx context.Context, req *runnerv1.ReadLogsRequest) (*runnerv1.ReadLogsResponse, error) {
	if r, ok := m.Runner.(executor.LogReader); ok {
		return r.ReadLogs(ctx, req)
	}
	return nil, fault.New(fault.Unimplemented, "runner %s keeps no logs", m.info.GetId())
}

// InFlight returns calls that have not been answered.
func (m *Member) InFlight(limit int) []executor.InFlight { return m.slots.inFlight(limit) }

// Info and the others say how the runner is, which is always ready.
func (m *Member) Info() *ruedov1.Runner         { return m.info }
func (m *Member) PlanUsage() *ruedov1.PlanUsage { return m.usage() }
func (m *Member) Ready() bool                   { return true }
func (m *Member) Active() int                   { return int(m.active.Load()) }
func (m *Member) Total() uint64                 { return m.total.Load() }
