package api

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/core/catalog"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

type logService struct {
	check  func(ctx context.Context, verb access.Verb, noun access.Noun, name string) error
	reader interface {
		Read(ctx context.Context, req *ruedov1.ReadLogsRequest, send func(*ruedov1.ReadLogsResponse) error) (entries int, err error)
	}
	catalog interface {
		Resolve(ctx context.Context, name string) (*catalog.Entry, error)
	}
}

// ReadLogs sends what guests logged. A service that does not exist can have
// logs, of a first publish that failed; it is an error only if it has none.
func (s *logService) ReadLogs(ctx context.Context, req *ruedov1.ReadLogsRequest, stream *connect.ServerStream[ruedov1.ReadLogsResponse]) error {
	if req.GetService() == "" && req.GetCallId() == "" {
		return fault.New(fault.RequestInvalid, "logs are read of a service or of a call: neither is named").WithFix("set service or call_id")
	}
	if req.GetService() != "" {
		if err := s.check(ctx, access.Read, access.Service, req.GetService()); err != nil {
			return err
		}
	}
	unknown := s.unknown(ctx, req.GetService())
	if unknown != nil && req.GetFollow() {
		return unknown
	}
	entries, err := s.reader.Read(ctx, req, stream.Send)
	switch {
	case err != nil || entries > 0:
		return err
	case unknown != nil:
		return unknown
	case req.GetCallId() != "" && !req.GetFollow():
		return fault.New(fault.NotFound, "no runner has logs of call %s", fault.Cut(req.GetCallId(), 64)).
			WithFix("runners keep calls that failed or logged, the last ones of each service: is the id right?")
	}
	return nil
}

// unknown returns the error for a service that does not exist, or nil.
func (s *logService) unknown(ctx context.Context, service string) error {
	if service == "" {
		return nil
	}
	if _, err := s.catalog.Resolve(ctx, service); errors.Is(err, fault.ServiceNotFound) {
		return err
	}
	return nil
}

var _ ruedov1connect.LogServiceHandler = (*logService)(nil)
