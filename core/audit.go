package core

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/audit"
	"github.com/ruedo-dev/ruedo/core/store/records"
)

// openAudit makes what records denials, and reads the audit.
func (c *Core) openAudit() {
	c.audit = audit.New(audit.Config{
		Records: records.New(records.Config{Cluster: c.store.Cluster(), Guard: c.store.Guard(), Chain: c.store.Chain()}),
		Keep:    c.cfg.AuditKeep, Interval: c.cfg.Collect.Interval, Down: c.down, Logger: c.log,
	})
	c.onClose("the audit", func(context.Context) error { c.audit.Close(); return nil })
}
