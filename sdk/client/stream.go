package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/body"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/retry"
)

// maxError bounds what is read of a response that is an error, in bytes.
const maxError = 64 << 10

// Stream is the response to a call whose output is read as it arrives.
type Stream struct {
	// Body is the output. The caller must close it. Its errors are those of this
	// package; see [Explain].
	Body io.ReadCloser
	// Size of the output in bytes; -1 if it is not known.
	Size int64
	// ContentType and Info are those of a [Response].
	ContentType string
	Info        *ruedov1.CallInfo
}

// Stream executes a service once, like [Client.Call], but sends the input as it
// is read and returns the output before all of it has arrived: neither has to
// fit into the memory of the caller. The service runs once it has all of its
// input. If the input is a file or a reader of bytes in memory, its size is
// announced, so that an input over the service's limit is refused before it is
// sent. ctx bounds the call and the reading of the output.
//
// The request is POST /call/{service}. The interceptors of [WithConnectOptions]
// do not see it; the client of [WithHTTPClient] does.
func (c *Client) Stream(ctx context.Context, service string, input io.Reader, opts ...CallOption) (*Stream, error) {
	return c.stream(ctx, service, input, newCallConfig(opts))
}

func (c *Client) callLarge(ctx context.Context, service string, input []byte, cfg callConfig) (*Response, error) {
	s, err := c.stream(ctx, service, bytes.NewReader(input), cfg)
	if err != nil {
		return nil, err
	}
	defer s.Body.Close()
	var b bytes.Buffer
	if s.Size > 0 {
		b.Grow(int(min(s.Size, 64<<20)) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(s.Body); err != nil {
		return nil, err
	}
	return &Response{Output: b.Bytes(), ContentType: s.ContentType, Info: s.Info}, nil
}

func (c *Client) stream(ctx context.Context, service string, input io.Reader, cfg callConfig) (*Stream, error) {
	if err := (failover{c, true}).find(ctx); err != nil {
		return nil, err
	}
	if cfg.revision > 0 {
		service += "@" + strconv.FormatUint(cfg.revision, 10)
	}
	attempts := c.attempts(false)
	body := body.New(input, cfg.progress.sent)
	for {
		s, err := c.send(ctx, service, body, cfg)
		if !body.Whole() {
			attempts.retry = retry.Attempts{} // what cannot be sent again does not wait for that
		}
		if err == nil || !attempts.again(ctx, err) || !body.Whole() {
			return s, err
		}
	}
}

// send sends a call once.
func (c *Client) send(ctx context.Context, service string, body *body.Body, cfg callConfig) (*Stream, error) {
	req, err := http.NewRequestWithContext(cfg.progress.in(ctx), http.MethodPost, c.base+"/call/"+url.PathEscape(service), http.NoBody)
	if err != nil {
		return nil, fault.Wrap(err, fault.RequestInvalid, "the core's URL %q is not valid", c.base)
	}
	if body.Size != 0 {
		req.Body, req.ContentLength, req.GetBody = body.Reader(), body.Size, body.Again()
	}
	req.Header.Set("Content-Type", cfg.contentType)
	req.Header.Set("Expect", "100-continue") // so that a call that is refused is not sent
	if deadline, ok := ctx.Deadline(); ok {
		req.Header.Set(headers.Timeout, min(max(time.Until(deadline), 1), headers.MaxTimeout).String())
	}
	if id := c.cluster.name(); id != "" {
		req.Header.Set(headers.Cluster, id)
	}
	if cfg.logs {
		req.Header.Set(headers.Logs, "1")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(err)
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		return nil, c.refused(res)
	}
	return &Stream{Body: outputBody{res.Body, c}, Size: res.ContentLength, ContentType: res.Header.Get("Content-Type"), Info: infoOf(res.Header)}, nil
}

// broken returns the error for a request without a response, or for a response
// that breaks off.
func (c *Client) broken(err error) error {
	code := connect.CodeUnavailable
	switch {
	case errors.Is(err, context.Canceled):
		code = connect.CodeCanceled
	case errors.Is(err, context.DeadlineExceeded):
		code = connect.CodeDeadlineExceeded
	}
	return explainer{c.cores}.explain(connect.NewError(code, err))
}

// refused returns the error that a response carries.
func (c *Client) refused(res *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, maxError))
	if err != nil {
		return c.broken(err)
	}
	e, ok := faultrpc.FromHTTP(text)
	if !ok {
		at := c.cores.Shown()
		return notCore(nil, at, "it says "+res.Status)
	}
	if e.Reason == fault.ClusterMismatch && c.cores.Len() > 1 {
		e.Message += " (the core at " + c.cores.Shown() + ")"
	}
	info := infoOf(res.Header)
	var said faultrpc.Said
	if json.Unmarshal(text, &said) == nil && said.Logs+said.Trace != "" {
		info.Logs, info.Trace = []byte(said.Logs), said.Trace
	}
	if info.GetCallId() != "" {
		e.Details = []any{info}
	}
	return e
}

// infoOf returns what the headers of a response say about the call.
func infoOf(h http.Header) *ruedov1.CallInfo {
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(h.Get(name), 10, 64) // 0 if it is not there
		return n
	}
	span := func(name string) *durationpb.Duration {
		d, err := time.ParseDuration(h.Get(name))
		if err != nil {
			return nil
		}
		return durationpb.New(d)
	}
	logs, err := base64.StdEncoding.DecodeString(h.Get(headers.Logs))
	if err != nil {
		logs = fmt.Appendf(nil, "the log cannot be read: %s\n", err)
	}
	return &ruedov1.CallInfo{
		CallId:      h.Get(headers.CallID),
		Runner:      h.Get(headers.Runner),
		Revision:    number(headers.Revision),
		Duration:    span(headers.Duration),
		CpuTime:     span(headers.CPUTime),
		MemoryBytes: number(headers.Memory),
		Fuel:        number(headers.Fuel),
		Cold:        h.Get(headers.Start) == headers.Cold,
		ExitCode:    int32(uint32(number(headers.ExitCode))), // as the core writes it
		Logs:        logs,
		LogsDropped: number(headers.LogsDropped),
	}
}

// outputBody is an output whose errors are those of this package.
type outputBody struct {
	io.ReadCloser
	c *Client
}

func (b outputBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.c.broken(err)
	}
	return n, err
}
