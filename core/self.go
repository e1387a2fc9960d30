package core

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// now returns this core and how it is.
func (c *Core) now() *ruedov1.Core {
	self := proto.CloneOf(c.self)
	self.Leader = c.elector.Leader().GetCore() == self.GetId()
	revisions, lag := c.mirror.Lag()
	self.CallsPerSecond, self.Lag, self.LagRevisions = c.calls.perSecond(), durationpb.New(lag), revisions
	switch {
	case c.draining.Load():
		self.State = ruedov1.CoreState_CORE_STATE_DRAINING
	case c.mirror.Stale():
		self.State = ruedov1.CoreState_CORE_STATE_STALE
	default:
		self.State = ruedov1.CoreState_CORE_STATE_READY
	}
	return self
}
