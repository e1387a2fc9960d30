// Package exchange turns a call of kind http into what the sandbox gets: a head,
// bodies that stream, and the requests that warm a service up.
package exchange

import (
	"bytes"
	"context"
	"io"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/httphead"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// Request returns a call as the sandbox gets it. Only a call of kind http has a
// head, and only one with a head can stream and releases its turn while it waits.
func Request(ctx context.Context, req *runnerv1.ExecuteRequest, turn sandbox.Turn) sandbox.Request {
	r := sandbox.Request{ID: req.CallId, Input: req.Input, ContentType: req.ContentType, Caller: req.Caller, Head: req.Head}
	if len(req.Head) == 0 {
		return r
	}
	r.Turn = turn
	x := executor.ExchangeOf(ctx)
	if x == nil {
		return r
	}
	if x.Body != nil {
		r.Body, r.Input, r.Trailers = &body{x.Body, bytes.NewReader(req.Input)}, nil, x.Trailers
	}
	if x.Respond != nil {
		r.Responder = responder(x.Respond)
		if x.Inform != nil {
			r.Responder = informer{responder(x.Respond), x.Inform}
		}
	}
	return r
}

// body is a body that streams, with what came along with the request first.
type body struct {
	io.ReadCloser
	first *bytes.Reader
}

func (b *body) Read(p []byte) (int, error) {
	if b.first.Len() > 0 {
		return b.first.Read(p)
	}
	return b.ReadCloser.Read(p)
}

// responder is a function that takes an answer that streams.
type responder func(head []byte, body io.Reader)

func (r responder) Stream(head []byte, body io.Reader) { r(head, body) }

// informer is a responder that takes informational heads, too.
type informer struct {
	responder
	inform func(head []byte)
}

func (i informer) Inform(head []byte) { i.inform(head) }

// Examples returns the requests that a plan's service is warmed up with.
func Examples(plan *runnerv1.Plan) []sandbox.Example {
	var all []sandbox.Example
	for _, e := range plan.GetHttpExamples() {
		all = append(all, sandbox.Example{Head: httphead.Example(e.GetMethod(), e.GetPath(), e.GetHeaders()), Input: e.GetBody()})
	}
	return all
}
