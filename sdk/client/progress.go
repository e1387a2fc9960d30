package client

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/sdk/client/internal/body"
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
		res.Body = &body.Counted{ReadCloser: res.Body, Total: res.ContentLength, Step: p.received}
	}
	return res, nil
}
