package client

import (
	"context"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Response is the answer of a call.
type Response struct {
	// Output is what the service gave back, byte for byte.
	Output []byte
	// ContentType is the media type that the service named.
	ContentType string
	// Info tells which runner executed the call, how long it took and, where
	// [WithLogs] asked for it, what the guest logged.
	Info *ruedov1.CallInfo
}

// CallOption changes one call.
type CallOption func(*ruedov1.InvokeRequest)

// WithContentType names the media type of the input. The default is
// "application/json".
func WithContentType(mediaType string) CallOption {
	return func(r *ruedov1.InvokeRequest) { r.ContentType = mediaType }
}

// WithLogs asks for what the guest logged.
func WithLogs() CallOption {
	return func(r *ruedov1.InvokeRequest) { r.Logs = true }
}

// Call executes a service once with the input as it is and waits for the
// answer. The deadline of ctx bounds the call, and a call whose ctx ends is
// stopped. A call is never sent twice: an error with NotStarted (see
// [Explain]) says that it may be sent again.
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

// InfoOf gives what is known of a call that failed: which runner executed it,
// how long it took, what it logged. It is nil where the call reached no runner.
func InfoOf(err error) *ruedov1.CallInfo {
	info, _ := fault.Detail[*ruedov1.CallInfo](err)
	return info
}
