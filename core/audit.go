package core

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/audit"
	"github.com/ruedo-dev/ruedo/core/store/records"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// openAudit makes what records denials, and reads the audit.
func (c *Core) openAudit() {
	c.audit = audit.New(audit.Config{
		Records: records.New(records.Config{Cluster: c.store.Cluster(), Guard: c.store.Guard(), Chain: c.store.Chain()}),
		Keep:    c.cfg.AuditKeep, Interval: c.cfg.Collect.Interval, Logger: c.log,
	})
	c.onClose("the audit", func(context.Context) error { c.audit.Close(); return nil })
}

// mountAudit mounts the AuditService, whose streams last as long as their callers
// follow.
func (c *Core) mountAudit() {
	c.port.Connect(port.Bounds{Message: 4 << 10, Weight: 8}, c.audit.Handler, map[string]port.Bounds{
		ruedov1connect.AuditServiceListAuditRecordsProcedure: {Message: 4 << 10, Stream: true},
	})
}
