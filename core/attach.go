package core

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/lane"
)

// leaveTimeout bounds how long taking a runner off the list may take; its lease
// takes it off otherwise.
const leaveTimeout = 2 * time.Second

// attach makes a new lane one that calls go to. A runner that holds no store
// credentials is registered by its core; that happens beside the lane, which
// takes calls at once.
func (c *Core) attach(l *lane.Lane) (detach func()) {
	remove := func() {}
	if c.cfg.Distributed {
		remove = c.dispatcher.Add(l)
	} else {
		c.log.Warn("a runner attached, but this core executes on its own; set server.distributed_execution to use it", "runner", l.Info().GetId())
	}
	if l.Registered() {
		return remove
	}
	c.goroutines.Go(func() { c.register(l) })
	return remove
}

// register keeps a runner on the list for as long as its lane stands.
func (c *Core) register(l *lane.Lane) {
	ctx, cancel := context.WithCancel(c.down)
	defer cancel()
	c.goroutines.Go(func() {
		<-l.Done()
		cancel()
	})
	info := proto.CloneOf(l.Info())
	info.RegisteredBy = c.ID()
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
		c.log.Warn("runner stays listed until its lease ends", "runner", info.GetId(), "error", err)
	}
}
