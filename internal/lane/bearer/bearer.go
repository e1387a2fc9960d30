// Package bearer shows the token of a runner to its core.
package bearer

import (
	"context"
	"net/http"
	"net/url"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/loopback"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// Client shows a token with each request. A token is not sent without TLS to another
// machine, and no redirect should be followed: see [Stay].
type Client struct {
	// Next sends the requests.
	Next connect.HTTPClient
	// Token returns what is shown; "" is nothing. Nil shows nothing.
	Token func(context.Context) (string, error)
	// Core is where the requests go.
	Core *url.URL
}

// Do sends a request. It fails with PLAINTEXT_REFUSED, or TOKEN_INVALID.
func (b Client) Do(req *http.Request) (*http.Response, error) {
	if b.Token == nil {
		return b.Next.Do(req)
	}
	text, err := b.Token(req.Context())
	switch {
	case err != nil:
		return nil, err
	case text == "":
		return b.Next.Do(req)
	case b.Core.Scheme != "https" && !loopback.Is(b.Core.Host):
		return nil, fault.New(fault.PlaintextRefused, "the token of the runner is not sent to %s: without TLS, everybody on the way could read it", b.Core).
			WithFix("use the https URL of the core (runner.cores)")
	}
	if _, err := token.Parse(token.Bearer, text); err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+text)
	return b.Next.Do(req)
}

// Stay follows no redirect: a core sends nobody elsewhere, and its token is for nobody
// else.
func Stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
