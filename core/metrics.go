package core

import ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"

// forget drops the counts of services that were deleted.
func (c *Core) forget(before, now map[string]*ruedov1.Service) {
	for name := range before {
		if _, ok := now[name]; !ok {
			c.metrics.Forget(name)
		}
	}
}

func (c *Core) readyRunners() int {
	n := 0
	for _, m := range c.dispatcher.Members() {
		if m.Ready() {
			n++
		}
	}
	return n
}
