package invoke

import (
	"context"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Request is a request to a service of kind http.
type Request struct {
	// ID of the call; see [NewID].
	ID string
	// Head is encoded as package abi says.
	Head []byte
	// Body is all of the body, or its first bytes if Exchange has the rest.
	Body []byte
	// Exchange has what streams. Required.
	Exchange *executor.Exchange
	// Logs requests the guest's logs.
	Logs bool
}

// Answer is the answer of a service of kind http.
type Answer struct {
	// Head and Trailers are encoded as package abi says.
	Head, Trailers []byte
	Output         []byte
	// Streamed reports that the exchange got head and output, and that they are
	// complete.
	Streamed bool
	Info     *ruedov1.CallInfo
}

// Outcome is [Result.Outcome].
func (a *Answer) Outcome() fault.Reason { return outcome(a.Info) }

// Undelivered is [Result.Undelivered].
func (a *Answer) Undelivered(err error) error { return undelivered(a.Info, err) }

// Exchange executes a call of kind http once. It can last as long as the timeout
// of the service, and counts when it is over. A failure is a *fault.Error that
// carries the call's CallInfo as a detail; part of the answer may have streamed by
// then.
func (c Call) Exchange(ctx context.Context, r Request) (*Answer, error) {
	if err := c.IsHTTP(); err != nil {
		return nil, err
	}
	req, err := c.request(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	req.Head, req.Input, req.Logs = r.Head, r.Body, r.Logs
	res, info, err := c.execute(executor.WithExchange(ctx, r.Exchange), req)
	if err != nil {
		return nil, err
	}
	return &Answer{Head: res.GetHead(), Trailers: res.GetTrailers(), Output: res.GetOutput(), Streamed: res.GetStreamed(), Info: info}, nil
}

// IsHTTP returns nil if the service is of kind http, and otherwise an error that
// says how it is called.
func (c Call) IsHTTP() error {
	kind := "a function"
	switch c.entry.Kind {
	case ruedov1.Kind_KIND_HTTP:
		return nil
	case ruedov1.Kind_KIND_COMMAND:
		kind = "a command"
	}
	e := fault.New(fault.WrongKind, "service %s is %s, which does not answer HTTP requests", c.service(), kind).
		WithFix("call it: curl -d INPUT http://HOST:PORT/call/%s", c.service())
	e.NotStarted = true
	return e
}

// isCalled returns nil if the service is a function or a command, and otherwise an
// error that says where it is served.
func (c Call) isCalled() error {
	if c.entry.Kind != ruedov1.Kind_KIND_HTTP {
		return nil
	}
	e := fault.New(fault.WrongKind, "service %s answers HTTP requests, and cannot be called with an input", c.service()).
		WithFix("send it a request: curl http://HOST:PORT/svc/%s/", c.service())
	e.NotStarted = true
	return e
}
