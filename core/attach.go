package core

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane"
)

// leaveTimeout bounds how long removing a runner from the list can take.
// Otherwise it disappears when its lease runs out.
const leaveTimeout = 2 * time.Second

// admit refuses a runner that the cluster has no room for, with RUNNER_LIMIT. Of
// those that are registered, the ones that started first have the room, so that
// all cores refuse the same ones, and nobody takes the place of a runner whose
// lane has just broken. Runners that attach at the same moment may all get in,
// because a core sees them when they are registered.
func (c *Core) admit(r *ruedov1.Runner) error {
	all := c.mirror.Snapshot().Runners
	if len(all) < c.cfg.MaxRunners {
		return nil
	}
	before := 0
	for id, other := range all {
		if id != r.GetId() && !other.GetStartTime().AsTime().After(r.GetStartTime().AsTime()) {
			before++
		}
	}
	if before < c.cfg.MaxRunners {
		return nil
	}
	return fault.New(fault.RunnerLimit, "the cluster has %d runners, its limit is %d", before, c.cfg.MaxRunners).
		With("limit", c.cfg.MaxRunners).WithFix("stop runners that are not needed, or raise server.max_runners on all cores")
}

// attach adds a new lane to those that get calls. A runner without store
// credentials is registered by its core. That happens in the background: the
// lane accepts calls immediately.
func (c *Core) attach(l *lane.Lane) (detach func()) {
	remove := func() {}
	if c.cfg.Distributed {
		remove = c.dispatcher.Add(l)
	} else {
		c.log.Warn("a runner attached, but this core executes on its own; set server.distributed_execution to use it", "runner", l.Info().GetId())
	}
	if !l.Registered() {
		c.goroutines.Go(func() { c.register(l) })
	}
	return func() {
		remove()
		if err := l.Err(); err != nil && !c.draining.Load() {
			c.events.Record(ruedov1.EventKind_EVENT_KIND_RUNNER_LOST, l.Info().GetId(), "its lane broke: "+err.Error())
		}
	}
}

// register keeps a runner registered for as long as its lane is up.
func (c *Core) register(l *lane.Lane) {
	ctx, cancel := context.WithCancel(c.down)
	defer cancel()
	c.goroutines.Go(func() {
		<-l.Done()
		cancel()
	})
	info := proto.CloneOf(l.Info())
	info.RegisteredBy = c.ID()
	info.LaneProtocol, info.LaneUpgraded, info.Outdated = 0, false, false // of this lane only
	m, err := c.store.Cluster().RegisterRunner(ctx, info, c.cfg.LeaseTTL)
	if err != nil {
		if ctx.Err() == nil {
			c.log.Error("runner cannot be registered", "runner", info.GetId(), "error", err)
		}
		return
	}
	select {
	case <-l.Done():
	case <-c.down.Done():
	}
	leave, cancelLeave := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancelLeave()
	if err := m.Close(leave); err != nil {
		c.log.Warn("runner stays listed until the store answers", "runner", info.GetId(), "error", err)
	}
}
