package client

import (
	"context"
	"errors"
	"sync/atomic"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

// cluster is the cluster that a client means. A client of several cores finds
// out with its first request, so that no later one goes to another cluster.
type cluster struct {
	id atomic.Pointer[string] // nil if it is not known yet; "" means any
	// hello asks for it, and status asks cores of before that, which have no Hello.
	// Their requests do not name a cluster.
	hello  ruedov1connect.LoginServiceClient
	status ruedov1connect.ClusterServiceClient
	asking chan struct{} // has an element while a request for it is in flight
	failed int           // requests for it, under asking
}

// maxAsked is how often a client asks for its cluster. What stands before a core
// may not let it find out.
const maxAsked = 3

func (c *cluster) init(id string) {
	c.asking = make(chan struct{}, 1)
	if id != "" {
		c.id.Store(&id)
	}
}

// name returns the id; "" if any cluster is meant.
func (c *cluster) name() string {
	if id := c.id.Load(); id != nil {
		return *id
	}
	return ""
}

// find asks a core for the cluster, until one answers. It fails if no core can be
// asked: then the request that wants to know has not started.
func (c *cluster) find(ctx context.Context) error {
	if c.id.Load() != nil {
		return nil
	}
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return notStarted(fault.FromError(ctx.Err()))
	}
	if c.id.Load() != nil {
		return nil
	}
	id, err := c.ask(ctx)
	if e, ok := errors.AsType[*fault.Error](err); ok && (e.NotStarted || ctx.Err() != nil) {
		return notStarted(e)
	}
	if err != nil {
		if c.failed++; c.failed < maxAsked {
			return nil
		}
	}
	c.id.Store(&id) // "" if no core says it
	return nil
}

// ClusterID asks for the id of the cluster that the core belongs to. Everybody may
// know it.
func (c *Client) ClusterID(ctx context.Context) (string, error) { return c.cluster.ask(ctx) }

// ask asks a core for the cluster.
func (c *cluster) ask(ctx context.Context) (string, error) {
	hello, err := c.hello.Hello(ctx, &ruedov1.HelloRequest{})
	if e, ok := errors.AsType[*fault.Error](err); err == nil || ok && e.NotStarted || ctx.Err() != nil {
		return hello.GetCluster(), err
	}
	status, err := c.status.GetStatus(ctx, &ruedov1.GetStatusRequest{})
	return status.GetClusterId(), err
}

func notStarted(e *fault.Error) error {
	own := *e
	own.NotStarted = true
	return &own
}

// namer names the cluster in each request.
type namer struct{ *cluster }

var _ connect.Interceptor = namer{}

func (n namer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if id := n.name(); id != "" {
			req.Header().Set(headers.Cluster, id)
		}
		return next(ctx, req)
	}
}

func (n namer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		if id := n.name(); id != "" {
			conn.RequestHeader().Set(headers.Cluster, id)
		}
		return conn
	}
}

func (n namer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
