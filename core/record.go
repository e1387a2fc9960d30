package core

import (
	"context"
	"fmt"
	"time"

	"github.com/ruedo-dev/ruedo/core/events"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// alarmsEvery is how often a core looks whether alarms have come or gone.
const alarmsEvery = time.Second

// lead records that this core leads, and does what the leader does.
func (c *Core) lead(ctx context.Context, fence fleet.Fence) {
	c.events.Record(ruedov1.EventKind_EVENT_KIND_LEADER_ELECTED, c.ID(), "it leads the cluster")
	c.jobs.Lead(ctx, fence)
}

func (c *Core) recordEjected(runner string, e *ruedov1.Ejection) {
	c.metrics.Ejection(e.GetCause())
	c.events.Record(ruedov1.EventKind_EVENT_KIND_RUNNER_EJECTED, runner, e.GetCause()+": "+e.GetMessage())
}

func (c *Core) recordReadmitted(runner string) {
	c.events.Record(ruedov1.EventKind_EVENT_KIND_RUNNER_READMITTED, runner, "it has answered a probe, and gets calls again")
}

// recordMigrated records that the format of the store has changed. The store is
// migrated while it is opened, before there is anywhere to record it.
func (c *Core) recordMigrated(from, to uint32, backup string) {
	c.migrated = append(c.migrated, fmt.Sprintf("from format %d to %d; before that, a backup was written to %s", from, to, backup))
}

// recordMigrations records what recordMigrated has kept.
func (c *Core) recordMigrations() {
	for _, text := range c.migrated {
		c.events.Record(ruedov1.EventKind_EVENT_KIND_STORE_MIGRATED, c.cfg.Cluster, text)
	}
}

func (c *Core) recordRestored(from string, res *ruedov1.RestoreCatalogResponse) {
	c.events.Record(ruedov1.EventKind_EVENT_KIND_CATALOG_RESTORED, c.cfg.Cluster,
		fmt.Sprintf("from a backup of %s: %s, %s", from, text.Count(int(res.GetServices()), "service"), text.Count(int(res.GetDecorators()), "decorator")))
}

func (c *Core) recordUnprepared(runner, service string, err *fault.Error) {
	c.events.Record(ruedov1.EventKind_EVENT_KIND_PREPARE_FAILED, service, fmt.Sprintf("runner %s could not prepare it: %s: %s", runner, err.Reason, err))
}

// recordAlarms records alarms that come and go, until ctx ends.
func (c *Core) recordAlarms(ctx context.Context) {
	tick := time.NewTicker(alarmsEvery)
	defer tick.Stop()
	raised := map[fault.Reason]bool{}
	for {
		now := map[fault.Reason]bool{}
		for _, e := range c.mirror.Alarms() {
			now[e.Reason] = true
			if !raised[e.Reason] {
				c.events.Record(ruedov1.EventKind_EVENT_KIND_ALARM_RAISED, string(e.Reason), e.Error())
			}
		}
		for reason := range raised {
			if !now[reason] {
				c.events.Record(ruedov1.EventKind_EVENT_KIND_ALARM_ENDED, string(reason), "it is over")
			}
		}
		raised = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// recorded is a store that records what is published.
type recorded struct {
	*store.Store
	events *events.Recorder
}

func (r recorded) Publish(ctx context.Context, p store.Publication) (*ruedov1.Service, []*ruedov1.Decorator, error) {
	stored, changed, err := r.Store.Publish(ctx, p)
	if err != nil {
		return stored, changed, err
	}
	number, text := stored.GetRevision().GetNumber(), "it is live"
	if p.Staged != nil {
		number, text = stored.GetLatest(), "it is stored and not live"
	}
	r.events.Record(ruedov1.EventKind_EVENT_KIND_PUBLISHED, fmt.Sprintf("%s@%d", stored.GetName(), number), text)
	return stored, changed, err
}
