package core

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// localMember adapts the in-process runner for the dispatcher.
type localMember struct {
	executor.Runner
	info   *ruedov1.Runner
	usage  func() *ruedov1.PlanUsage
	active atomic.Int64
	total  atomic.Uint64
	slots  slots
}

func newLocalMember(l Local, src executor.Source) *localMember {
	return &localMember{Runner: l.Bind(src), info: l.Info(), usage: l.PlanUsage}
}

func (m *localMember) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	m.active.Add(1)
	defer m.active.Add(-1)
	m.total.Add(1)
	defer m.slots.take(ctx, req).free()
	return m.Runner.Execute(ctx, req)
}

// ReadLogs asks the runner, if it keeps logs.
func (m *localMember) ReadLogs(ctx context.Context, req *runnerv1.ReadLogsRequest) (*runnerv1.ReadLogsResponse, error) {
	if r, ok := m.Runner.(executor.LogReader); ok {
		return r.ReadLogs(ctx, req)
	}
	return nil, fault.New(fault.Unimplemented, "runner %s keeps no logs", m.info.GetId())
}

// InFlight returns calls that have not been answered.
func (m *localMember) InFlight(limit int) []executor.InFlight { return m.slots.inFlight(limit) }

func (m *localMember) Info() *ruedov1.Runner         { return m.info }
func (m *localMember) PlanUsage() *ruedov1.PlanUsage { return m.usage() }
func (m *localMember) Ready() bool                   { return true }
func (m *localMember) Active() int                   { return int(m.active.Load()) }
func (m *localMember) Total() uint64                 { return m.total.Load() }

// alarms returns the reasons of all alarms of the store.
func (c *Core) alarms() []string {
	var reasons []string
	for _, e := range c.mirror.Alarms() {
		reasons = append(reasons, string(e.Reason))
	}
	return reasons
}

// readyRunners returns how many runners accept calls now.
func (c *Core) readyRunners() int {
	n, _ := c.dispatcher.Ready()
	return n
}

// outOfService returns how many attached runners this core sends no calls because
// it has ejected them, and how many runners are cordoned.
func (c *Core) outOfService() (ejected, cordoned int) {
	attached := map[string]bool{}
	for _, m := range c.dispatcher.Members() {
		attached[m.Info().GetId()] = true
	}
	for id, e := range c.dispatcher.Ejections() {
		if attached[id] && !e.GetWaived() {
			ejected++
		}
	}
	return ejected, len(c.cordons.Active())
}

// absent returns the ids of the runners of the cluster that are not attached to
// this core, sorted.
func (c *Core) absent() []string {
	attached := make(map[string]bool)
	for _, m := range c.dispatcher.Members() {
		attached[m.Info().GetId()] = true
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.mirror.Snapshot().Runners)), func(id string) bool { return attached[id] })
}
