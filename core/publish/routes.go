package publish

import (
	"context"
	"errors"

	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/route"
)

// checkRoutes returns REQUEST_INVALID if a route of a revision is not valid, or if
// two of them are the same. api are names under which the API is reached.
func checkRoutes(rev *ruedov1.Revision, api []string) error {
	for i, r := range rev.GetRoutes() {
		err := route.Check(r, api...)
		for _, before := range rev.GetRoutes()[:i] {
			if err == nil && route.Conflict(before, r) {
				err = fault.New(fault.RequestInvalid, "route %s is there twice", route.Text(r)).WithFix("remove one of them")
			}
		}
		if err != nil {
			e := *fault.FromError(err)
			e.Message = "service " + rev.GetService() + ": " + e.Message
			return (&e).With("service", rev.GetService())
		}
	}
	return nil
}

// claimable returns the revision of the store as of which no other service has a
// route of s; zero if s has none. CONFLICT names the service that has one.
func (p *Publisher) claimable(ctx context.Context, s *ruedov1.Service) (at int64, err error) {
	routes := s.GetRevision().GetRoutes()
	if len(routes) == 0 {
		return 0, nil
	}
	visible := access.Visible(ctx, access.Service)
	others, at, err := p.cfg.Store.Routed(ctx)
	if err != nil {
		return 0, err
	}
	for _, other := range others {
		if other.GetName() == s.GetName() {
			continue
		}
		for _, r := range routes {
			for _, taken := range other.GetRevision().GetRoutes() {
				if !route.Conflict(r, taken) {
					continue
				}
				if !visible(other.GetName()) {
					return 0, fault.New(fault.Conflict, "route %s of service %s conflicts with a route of another service", route.Text(r), s.GetName()).
						With("route", route.Text(r)).WithFix("choose another host, path or method")
				}
				return 0, fault.New(fault.Conflict, "route %s of service %s conflicts with route %s of service %s", route.Text(r), s.GetName(), route.Text(taken), other.GetName()).
					With("taken_by", other.GetName(), "route", route.Text(taken)).
					WithFix("choose another host, path or method, or publish %s without that route first", other.GetName())
			}
		}
	}
	return at, nil
}

// claim calls write, which makes s live, with the revision of the store as of which
// its routes were found to be free: write must fail if a service has changed since.
// It repeats both if services are published meanwhile, a few times. If at is not
// zero, write gets at, and the caller repeats.
func (p *Publisher) claim(ctx context.Context, s *ruedov1.Service, at int64, write func(at int64) error) error {
	if len(s.GetRevision().GetRoutes()) == 0 {
		return write(at)
	}
	var err error
	for range writeTries {
		free, failed := p.claimable(ctx, s)
		switch {
		case failed != nil:
			return failed
		case at != 0:
			return write(at)
		}
		if err = write(free); !errors.Is(err, store.ErrCarriersChanged) {
			return err
		}
	}
	return err
}
