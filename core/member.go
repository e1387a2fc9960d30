package core

import (
	"maps"
	"slices"
)

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
