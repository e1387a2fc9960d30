package client

import (
	"context"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Response is the response to a call.
type Response struct {
	// Output is what the service returned, byte for byte.
	Output []byte
	// ContentType is the media type that the service set.
	ContentType string
	// Info says which runner executed the call, how long it took and, with
	// [WithLogs], what the guest logged.
	Info *ruedov1.CallInfo
}

// CallOption modifies one call.
type CallOption func(*ruedov1.InvokeRequest)

// WithContentType sets the media type of the input. The default is
// "application/json".
func WithContentType(mediaType string) CallOption {
	return func(r *ruedov1.InvokeRequest) { r.ContentType = mediaType }
}

// WithLogs requests what the guest logged.
func WithLogs() CallOption {
	return func(r *ruedov1.InvokeRequest) { r.Logs = true }
}

// Call executes a service once with the input as it is and waits for the
// response. The deadline of ctx bounds the call, and a call whose ctx ends is
// stopped. A call is never sent twice; if an error has NotStarted (see
// [Explain]), the caller can send it again.
func (c *Client) Call(ctx context.Context, service string, input []byte, opts ...CallOption) (*Response, error) {
	req := &ruedov1.InvokeRequest{
		Service:     service,
		Payload:     &ruedov1.InvokeRequest_Bytes{Bytes: input},
		ContentType: "application/json",
	}
	for _, o := range opts {
		o(req)
	}
	res, err := c.Invoke.Invoke(ctx, req)
	if err != nil {
		return nil, err
	}
	return &Response{Output: res.GetBytes(), ContentType: res.GetContentType(), Info: res.GetInfo()}, nil
}

// InfoOf returns what is known about a failed call: which runner executed it,
// how long it took, what it logged. It is nil if the call reached no runner.
func InfoOf(err error) *ruedov1.CallInfo {
	info, _ := fault.Detail[*ruedov1.CallInfo](err)
	return info
}
