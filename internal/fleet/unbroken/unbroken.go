// Package unbroken keeps a watch from going on with another store than the one
// that was listed before it.
//
//	options := unbroken.DialOptions()    // of the client, once
//	var s unbroken.Session
//	ctx = s.Context(ctx)
//	client.Get(ctx, ...)                 // list
//	client.Watch(ctx, ...)               // ends when its connection is lost
//
// etcd's client continues a watch on the next connection that it gets, from the
// revision that the watch has reached. If an older copy of the store answers there,
// and has been written to, its revisions mean something else, and nothing shows
// it. But whoever replaces a store has to end the process that served it, and with
// it the connections.
package unbroken

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// Session is a list and the watches that follow it, which share one stream. The
// stream ends with an error when its connection is lost, or if a connection was
// lost after the list began and before the stream was answered. The zero Session
// is ready. It ends with its stream.
type Session struct {
	listed atomic.Int64 // how many connections had ended when the list began
	opened atomic.Bool  // the stream
}

type key struct{}

// Context returns a context whose requests and streams belong to the session.
func (s *Session) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, s)
}

// errLost is final for etcd's client: it opens no other stream after it.
var errLost = status.Error(codes.Aborted, "the connection to the store was lost: it may be another store now")

// DialOptions returns what a client needs for sessions. They are for one client.
func DialOptions() []grpc.DialOption {
	c := &connections{}
	return []grpc.DialOption{grpc.WithStatsHandler(c), grpc.WithChainUnaryInterceptor(c.unary), grpc.WithChainStreamInterceptor(c.stream)}
}

// connections are those of one client.
type connections struct{ ended atomic.Int64 }

func (c *connections) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if s, ok := ctx.Value(key{}).(*Session); ok {
		s.listed.Store(c.ended.Load())
	}
	return next(ctx, method, req, reply, cc, opts...)
}

func (c *connections) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, ok := ctx.Value(key{}).(*Session)
	if !ok {
		return next(ctx, desc, cc, method, opts...)
	}
	if s.opened.Load() {
		return nil, errLost
	}
	opened, err := next(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, err
	}
	s.opened.Store(true)
	return &stream{ClientStream: opened, session: s, connections: c}, nil
}

// stream is the stream of a session.
type stream struct {
	grpc.ClientStream
	session     *Session
	connections *connections
	answered    bool
}

// RecvMsg judges the first message: until then, gRPC may have moved the stream to
// another connection on its own.
func (s *stream) RecvMsg(m any) error {
	if err := s.ClientStream.RecvMsg(m); err != nil || s.answered {
		return err
	}
	s.answered = true
	if s.connections.ended.Load() != s.session.listed.Load() {
		return errLost
	}
	return nil
}

// HandleConn counts connections that have ended.
func (c *connections) HandleConn(_ context.Context, event stats.ConnStats) {
	if _, ok := event.(*stats.ConnEnd); ok {
		c.ended.Add(1)
	}
}

// TagConn does nothing.
func (*connections) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// TagRPC does nothing.
func (*connections) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC does nothing.
func (*connections) HandleRPC(context.Context, stats.RPCStats) {}

var _ stats.Handler = (*connections)(nil)
