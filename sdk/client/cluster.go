package client

import (
	"context"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/headers"
)

// namer names the cluster in each request.
type namer struct{ cluster string }

var _ connect.Interceptor = namer{}

func (n namer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	if n.cluster == "" {
		return next
	}
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req.Header().Set(headers.Cluster, n.cluster)
		return next(ctx, req)
	}
}

func (n namer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	if n.cluster == "" {
		return next
	}
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set(headers.Cluster, n.cluster)
		return conn
	}
}

func (n namer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
