package core

import ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"

// followPlans tells the dispatcher which plans are live, so that runners that
// attach prepare them before they get calls.
func (c *Core) followPlans() {
	var services map[string]*ruedov1.Service
	for {
		changed := c.mirror.Changed()
		c.dispatcher.SetPlans(c.catalog.Plans())
		now := c.mirror.Snapshot().Services
		c.forget(services, now)
		services = now
		select {
		case <-changed:
		case <-c.down.Done():
			return
		}
	}
}

// forget drops the counts of services that were deleted.
func (c *Core) forget(before, now map[string]*ruedov1.Service) {
	for name := range before {
		if _, ok := now[name]; !ok {
			c.metrics.Forget(name)
		}
	}
}
