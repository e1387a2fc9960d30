package client

import (
	"context"
	"iter"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// ListServices returns the services that match a request, over all pages. It
// requests a page when the previous one is used up. It ends after an error.
func (c *Client) ListServices(ctx context.Context, req *ruedov1.ListServicesRequest) iter.Seq2[*ruedov1.Service, error] {
	req = proto.CloneOf(req)
	return pages(&req.PageToken, func() ([]*ruedov1.Service, string, error) {
		res, err := c.Services.ListServices(ctx, req)
		return res.GetItems(), res.GetNextPageToken(), err
	})
}

// ListRevisions is ListServices for the revisions of a service, newest first.
func (c *Client) ListRevisions(ctx context.Context, req *ruedov1.ListRevisionsRequest) iter.Seq2[*ruedov1.Revision, error] {
	req = proto.CloneOf(req)
	return pages(&req.PageToken, func() ([]*ruedov1.Revision, string, error) {
		res, err := c.Services.ListRevisions(ctx, req)
		return res.GetItems(), res.GetNextPageToken(), err
	})
}

// ListDecoratorRevisions is ListServices for the revisions of a decorator, newest
// first.
func (c *Client) ListDecoratorRevisions(ctx context.Context, req *ruedov1.ListDecoratorRevisionsRequest) iter.Seq2[*ruedov1.Decorator, error] {
	req = proto.CloneOf(req)
	return pages(&req.PageToken, func() ([]*ruedov1.Decorator, string, error) {
		res, err := c.Decorators.ListDecoratorRevisions(ctx, req)
		return res.GetItems(), res.GetNextPageToken(), err
	})
}

// ListDecorators is ListServices for decorators.
func (c *Client) ListDecorators(ctx context.Context, req *ruedov1.ListDecoratorsRequest) iter.Seq2[*ruedov1.Decorator, error] {
	req = proto.CloneOf(req)
	return pages(&req.PageToken, func() ([]*ruedov1.Decorator, string, error) {
		res, err := c.Decorators.ListDecorators(ctx, req)
		return res.GetItems(), res.GetNextPageToken(), err
	})
}

// ListRunners is ListServices for runners.
func (c *Client) ListRunners(ctx context.Context, req *ruedov1.ListRunnersRequest) iter.Seq2[*ruedov1.Runner, error] {
	req = proto.CloneOf(req)
	return pages(&req.PageToken, func() ([]*ruedov1.Runner, string, error) {
		res, err := c.Cluster.ListRunners(ctx, req)
		return res.GetItems(), res.GetNextPageToken(), err
	})
}

// ListCores is ListServices for cores.
func (c *Client) ListCores(ctx context.Context, req *ruedov1.ListCoresRequest) iter.Seq2[*ruedov1.Core, error] {
	req = proto.CloneOf(req)
	return pages(&req.PageToken, func() ([]*ruedov1.Core, string, error) {
		res, err := c.Cluster.ListCores(ctx, req)
		return res.GetItems(), res.GetNextPageToken(), err
	})
}

// ListJobs is ListServices for the jobs of the leader.
func (c *Client) ListJobs(ctx context.Context, req *ruedov1.ListJobsRequest) iter.Seq2[*ruedov1.Job, error] {
	req = proto.CloneOf(req)
	return pages(&req.PageToken, func() ([]*ruedov1.Job, string, error) {
		res, err := c.Jobs.ListJobs(ctx, req)
		return res.GetItems(), res.GetNextPageToken(), err
	})
}

// ListUsers is ListServices for users.
func (c *Client) ListUsers(ctx context.Context, req *ruedov1.ListUsersRequest) iter.Seq2[*ruedov1.User, error] {
	req = proto.CloneOf(req)
	return pages(&req.PageToken, func() ([]*ruedov1.User, string, error) {
		res, err := c.Users.ListUsers(ctx, req)
		return res.GetItems(), res.GetNextPageToken(), err
	})
}

// ListRoles is ListServices for roles.
func (c *Client) ListRoles(ctx context.Context, req *ruedov1.ListRolesRequest) iter.Seq2[*ruedov1.Role, error] {
	req = proto.CloneOf(req)
	return pages(&req.PageToken, func() ([]*ruedov1.Role, string, error) {
		res, err := c.Roles.ListRoles(ctx, req)
		return res.GetItems(), res.GetNextPageToken(), err
	})
}

// ListTokens is ListServices for tokens, without their secrets.
func (c *Client) ListTokens(ctx context.Context, req *ruedov1.ListTokensRequest) iter.Seq2[*ruedov1.Token, error] {
	req = proto.CloneOf(req)
	return pages(&req.PageToken, func() ([]*ruedov1.Token, string, error) {
		res, err := c.Tokens.ListTokens(ctx, req)
		return res.GetItems(), res.GetNextPageToken(), err
	})
}

// pages reads page after page. token is where the next request continues.
func pages[T any](token *string, read func() ([]T, string, error)) iter.Seq2[T, error] {
	first := *token
	return func(yield func(T, error) bool) {
		for *token = first; ; {
			items, next, err := read()
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			if next == *token {
				var none T
				yield(none, fault.New(fault.Internal, "the core answers a page token with the same page token"))
				return
			}
			*token = next
		}
	}
}

// All collects the items of a list; it stops at the first error.
func All[T any](list iter.Seq2[T, error]) ([]T, error) {
	var items []T
	for item, err := range list {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}
