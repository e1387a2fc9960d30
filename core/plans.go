package core

// followPlans tells the dispatcher which plans are live, so that runners that
// attach prepare them before they get calls.
func (c *Core) followPlans() {
	for {
		changed := c.mirror.Changed()
		c.dispatcher.SetPlans(c.catalog.Plans())
		select {
		case <-changed:
		case <-c.down.Done():
			return
		}
	}
}
