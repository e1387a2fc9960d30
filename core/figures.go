package core

import (
	"context"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/telemetry"
)

// figuresTimeout bounds how long reading the metrics waits for the member of the
// store.
const figuresTimeout = time.Second

// storeFigures returns what this core knows about its store.
func (c *Core) storeFigures() telemetry.Store {
	s := telemetry.Store{Latency: c.mirror.StoreLatency(), Age: c.mirror.Age()}
	s.Revisions, s.Lag = c.mirror.Lag()
	if c.cfg.Member != nil {
		ctx, cancel := context.WithTimeout(c.down, figuresTimeout)
		defer cancel()
		if m, err := c.cfg.Member.Local(ctx); err == nil { // it is absent otherwise
			s.Member = m.GetStatus()
		}
	}
	return s
}

// runnerFigures returns what the attached runners report, and how many streams are
// open on them.
func (c *Core) runnerFigures() (runners []*ruedov1.Runner, streams int) {
	for _, m := range c.dispatcher.Members() {
		runners = append(runners, &ruedov1.Runner{ActiveCalls: uint32(m.Active()), PlanUsage: m.PlanUsage()})
	}
	return runners, c.dispatcher.Streams()
}
