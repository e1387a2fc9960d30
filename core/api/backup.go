package api

import (
	"context"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/core/backup"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

type backupService struct {
	backups interface {
		Send(ctx context.Context, req *ruedov1.ReadBackupRequest, send func(*ruedov1.ReadBackupResponse) error) error
		Receive(ctx context.Context, stream backup.Stream) (*ruedov1.RestoreCatalogResponse, error)
	}
}

func (s *backupService) ReadBackup(ctx context.Context, req *ruedov1.ReadBackupRequest, stream *connect.ServerStream[ruedov1.ReadBackupResponse]) error {
	return s.backups.Send(ctx, req, stream.Send)
}

func (s *backupService) RestoreCatalog(ctx context.Context, stream *connect.ClientStream[ruedov1.RestoreCatalogRequest]) (*ruedov1.RestoreCatalogResponse, error) {
	return s.backups.Receive(ctx, stream)
}

var _ ruedov1connect.BackupServiceHandler = (*backupService)(nil)
