package core

import (
	"context"

	"github.com/ruedo-dev/ruedo/core/backup"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/format"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

// migrate migrates a store of an older format, or waits for the core that does.
func (c *Core) migrate(ctx context.Context, cluster *fleet.Cluster, audit *chain.Chain) error {
	ctx = access.WithPrincipal(ctx, "job/migrate")
	return format.Migrate(ctx, format.Config{
		Cluster: cluster, Chain: audit, Steps: c.cfg.Steps, TTL: c.cfg.LeaseTTL, Migrated: c.recordMigrated, Logger: c.log,
		Leader: &ruedov1.Leader{Core: c.self.GetId(), Host: c.self.GetHost(), Url: c.self.GetUrl()},
		Backup: func(ctx context.Context) (string, error) {
			path, err := backup.Save(ctx, cluster, c.cfg.BackupDir, c.cfg.Version)
			return c.self.GetHost() + ":" + path, err
		},
	})
}
