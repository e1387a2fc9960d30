package api

import (
	"context"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/packed"
)

// errShutdown ends a stream of a core that is shutting down.
var errShutdown = fault.New(fault.CoreUnreachable, "this core is shutting down").WithFix("connect again")

type serviceService struct {
	publisher interface {
		Publish(ctx context.Context, req *ruedov1.PublishServiceRequest) (*ruedov1.PublishServiceResponse, error)
		Rollback(ctx context.Context, name string, number uint64) (*ruedov1.Service, uint64, error)
	}
	catalog interface {
		Resolve(ctx context.Context, name string) (*catalog.Entry, error)
		State(name string) (plan string, err error)
	}
	dispatcher interface {
		Prepared(plan string) (runners int, err *fault.Error)
		Members() []dispatch.Member
	}
	mirror interface {
		Snapshot() *mirror.Snapshot
		Changed() <-chan struct{}
		Wait(ctx context.Context, revision int64) error
	}
	store interface {
		DeleteService(ctx context.Context, name string) (int64, error)
		Revisions(ctx context.Context, service string, p store.Page) ([]*ruedov1.Revision, uint64, error)
	}
	// distributed reports whether calls always go to a runner.
	distributed bool
	// openRequests is that of Config.
	openRequests int
	// done ends the streams that would otherwise go on forever.
	done <-chan struct{}
}

func (s *serviceService) PublishService(ctx context.Context, req *ruedov1.PublishServiceRequest) (*ruedov1.PublishServiceResponse, error) {
	return s.publisher.Publish(ctx, req)
}

func (s *serviceService) GetService(ctx context.Context, req *ruedov1.GetServiceRequest) (*ruedov1.GetServiceResponse, error) {
	e, err := s.catalog.Resolve(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	res := &ruedov1.GetServiceResponse{
		Service:    s.withReadiness(e.Service),
		Limits:     e.Rules.Effective(),
		Idempotent: e.Rules.Idempotent,
		Schemas:    e.Rules.Schemas(),
		Egress:     e.Rules.Grants(),
	}
	if e.Service.GetRevision().GetKind() == ruedov1.Kind_KIND_HTTP {
		res.OpenRequests, res.AuthorizationBy = s.open(), e.Rules.Authorization
	}
	return res, nil
}

// open returns how many requests to one service can be open.
func (s *serviceService) open() *ruedov1.OpenRequests {
	o := &ruedov1.OpenRequests{Core: uint32(s.openRequests)}
	for _, m := range s.dispatcher.Members() {
		n := (m.Info().GetStreams()*3 + 3) / 4 // as the runner rounds it
		if n > 0 && (o.Runner == 0 || n < o.Runner) {
			o.Runner = n
		}
	}
	return o
}

func (s *serviceService) ListServices(ctx context.Context, req *ruedov1.ListServicesRequest) (*ruedov1.ListServicesResponse, error) {
	items, next, err := page(s.mirror.Snapshot().Services, "services "+req.GetTag(), req, visible(ctx, access.Service, tagged[*ruedov1.Service](req.GetTag())))
	if err != nil {
		return nil, err
	}
	for i := range items {
		items[i] = s.withReadiness(items[i])
	}
	return &ruedov1.ListServicesResponse{Items: items, NextPageToken: next}, nil
}

// preparing is the reason of a service that runners have yet to prepare.
const preparing = "PREPARING"

// withReadiness returns a copy of a service that says whether it can be called,
// from what the catalog and the dispatcher know.
func (s *serviceService) withReadiness(service *ruedov1.Service) *ruedov1.Service {
	r := &ruedov1.Readiness{}
	plan, err := s.catalog.State(service.GetName())
	if err == nil {
		runners, why := s.dispatcher.Prepared(plan)
		r.Runners = uint32(runners)
		switch {
		case why != nil:
			err = why
		case runners == 0 && s.distributed: // an in-process runner prepares it with the next call
			r.Reason, r.Message = preparing, "runners are preparing it"
		}
	}
	if err != nil {
		e := fault.FromError(err)
		r.Reason, r.Message = string(e.Reason), e.Error()
		if e.Fix != "" {
			r.Message += "; " + e.Fix
		}
	}
	service = proto.CloneOf(packed.Open(service))
	service.Readiness = r
	return service
}

func (s *serviceService) DeleteService(ctx context.Context, req *ruedov1.DeleteServiceRequest) (*ruedov1.DeleteServiceResponse, error) {
	version, err := s.store.DeleteService(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return &ruedov1.DeleteServiceResponse{}, s.mirror.Wait(ctx, version)
}

func (s *serviceService) RollbackService(ctx context.Context, req *ruedov1.RollbackServiceRequest) (*ruedov1.RollbackServiceResponse, error) {
	service, previous, err := s.publisher.Rollback(ctx, req.GetName(), req.GetRevision())
	if err != nil {
		return nil, err
	}
	return &ruedov1.RollbackServiceResponse{Service: service, Previous: previous}, nil
}

func (s *serviceService) ListRevisions(ctx context.Context, req *ruedov1.ListRevisionsRequest) (*ruedov1.ListRevisionsResponse, error) {
	items, next, err := revisions(ctx, "revisions "+req.GetName(), req.GetName(), req, s.store.Revisions)
	if err != nil {
		return nil, err
	}
	return &ruedov1.ListRevisionsResponse{Items: items, NextPageToken: next}, nil
}

// WatchServices compares each snapshot of the mirror with the previous one. A
// slow reader can miss intermediate states, but never the final one. The stream ends
// when what its reader may read changes.
func (s *serviceService) WatchServices(ctx context.Context, _ *ruedov1.WatchServicesRequest, stream *connect.ServerStream[ruedov1.WatchServicesResponse]) error {
	seen := &mirror.Snapshot{}
	may := access.Visible(ctx, access.Service)
	for first := true; ; first = false {
		changed := s.mirror.Changed()
		now := s.mirror.Snapshot()
		for _, service := range sorted(now.Services) {
			if was := seen.Services[service.GetName()]; was.GetVersion() == service.GetVersion() || !may(service.GetName()) {
				continue
			}
			if err := stream.Send(&ruedov1.WatchServicesResponse{Service: packed.Open(service)}); err != nil {
				return err
			}
		}
		for _, service := range sorted(seen.Services) {
			if _, ok := now.Services[service.GetName()]; ok || !may(service.GetName()) {
				continue
			}
			gone := &ruedov1.Service{Name: service.GetName()}
			if err := stream.Send(&ruedov1.WatchServicesResponse{Service: gone, Deleted: true}); err != nil {
				return err
			}
		}
		if first {
			if err := stream.Send(&ruedov1.WatchServicesResponse{Synced: true}); err != nil {
				return err
			}
		}
		seen = now
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return errShutdown
		}
	}
}

// sorted returns the values of a map by name.
func sorted[T interface{ GetName() string }](m map[string]T) []T {
	return slices.SortedFunc(maps.Values(m), func(a, b T) int { return strings.Compare(a.GetName(), b.GetName()) })
}

var _ ruedov1connect.ServiceServiceHandler = (*serviceService)(nil)
