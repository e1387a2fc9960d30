package client

import (
	"context"
	"io"
	"net/http"

	"connectrpc.com/connect"
)

// progress is what a call reports while its bodies are on the way.
type progress struct {
	sent, received func(done, total int64)
}

type progressKey struct{}

// in returns a context whose requests report their progress.
func (p progress) in(ctx context.Context) context.Context {
	if p.received == nil {
		return ctx
	}
	return context.WithValue(ctx, progressKey{}, p)
}

// watched is an HTTP client that reports the progress of responses.
type watched struct{ connect.HTTPClient }

func (w watched) Do(req *http.Request) (*http.Response, error) {
	res, err := w.HTTPClient.Do(req)
	if err != nil {
		return nil, err
	}
	if p, ok := req.Context().Value(progressKey{}).(progress); ok {
		res.Body = &counted{ReadCloser: res.Body, total: res.ContentLength, step: p.received}
	}
	return res, nil
}

// counted is a body that reports how much of it was read.
type counted struct {
	io.ReadCloser
	done, total int64
	step        func(done, total int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		c.done += int64(n)
		c.step(c.done, c.total)
	}
	return n, err
}
