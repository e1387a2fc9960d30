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
	// [WithLogs], what the guest logged and where it trapped or was stopped. ExitCode
	// is not 0 if the service is a command that exited with a code; what it had
	// written by then is Output.
	Info *ruedov1.CallInfo
}

// CallOption modifies one call.
type CallOption func(*callConfig)

type callConfig struct {
	contentType string
	logs        bool
	revision    uint64 // 0 means the live one
	progress    progress
}

func newCallConfig(opts []CallOption) callConfig {
	cfg := callConfig{contentType: "application/json"}
	for _, o := range opts {
		o(&cfg)
	}
	return cfg
}

// WithContentType sets the media type of the input. The default is
// "application/json".
func WithContentType(mediaType string) CallOption {
	return func(c *callConfig) { c.contentType = mediaType }
}

// WithLogs requests what the guest logged. Of a call with a large input and of a
// [Stream], it is the last 4 KiB. Of a failed call, [InfoOf] has it. Without this
// option, [Client.ReadLogs] finds it afterwards, by the id of the call.
func WithLogs() CallOption {
	return func(c *callConfig) { c.logs = true }
}

// WithProgress reports how many bytes of a large input have been sent, and how
// many bytes of the output have been received. total is the size of the whole,
// or -1 if it is not known. Either function can be nil. They are called on
// different goroutines, possibly at the same time.
func WithProgress(sent, received func(done, total int64)) CallOption {
	return func(c *callConfig) { c.progress = progress{sent, received} }
}

// maxMessage is the size of the largest input that is sent as a message. A core
// accepts messages of 8 MiB; larger bodies cost less as they are.
const maxMessage = 1 << 20

// WithRevision calls a revision by its number, whether it is live or not. Zero
// means the live one.
func WithRevision(number uint64) CallOption {
	return func(c *callConfig) { c.revision = number }
}

// Call executes a service once with the input as it is and waits for the
// response. The deadline of ctx bounds the call, and a call whose ctx ends is
// stopped. A call is never sent again after a core may have started it; if an error
// has NotStarted (see [Explain]), the caller can send it again.
//
// The service's limits bound input and output. An input over 1 MiB is sent as
// the body of POST /call/{service}, so interceptors do not see it; see
// [Client.Stream].
func (c *Client) Call(ctx context.Context, service string, input []byte, opts ...CallOption) (*Response, error) {
	cfg := newCallConfig(opts)
	if len(input) > maxMessage {
		return c.callLarge(ctx, service, input, cfg)
	}
	req := &ruedov1.InvokeRequest{
		Service:     service,
		Payload:     &ruedov1.InvokeRequest_Bytes{Bytes: input},
		ContentType: cfg.contentType,
		Logs:        cfg.logs,
		Revision:    cfg.revision,
	}
	res, err := c.Invoke.Invoke(cfg.progress.in(ctx), req)
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
