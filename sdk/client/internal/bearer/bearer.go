// Package bearer sends tokens with requests, to the cores that they are for and to
// nobody else.
package bearer

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/token"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/cores"
)

// Client is an HTTP client that sends tokens.
type Client struct {
	// Token returns the token of a request, or "". Nil: it sends none.
	Token func(context.Context) (string, error)
	// Cores are those that the token is for.
	Cores []cores.Core
	Next  connect.HTTPClient
}

// Do sends a request.
func (c Client) Do(req *http.Request) (*http.Response, error) {
	// Hello is asked of cores that nothing is known of yet.
	if c.Token == nil || req.URL.Path == ruedov1connect.LoginServiceHelloProcedure {
		return c.Next.Do(req)
	}
	text, err := c.Token(req.Context())
	switch {
	case err != nil:
		return nil, err
	case text == "":
		return c.Next.Do(req)
	}
	for _, core := range c.Cores {
		if core.URL.Scheme != "https" && !core.Local() {
			return nil, fault.New(fault.PlaintextRefused, "a token is not sent to %s: without TLS, everybody on the way could read it", core).
				WithFix("use https, or work on the machine of the core").With("url", core)
		}
	}
	if _, err := token.Parse(token.Bearer, text); err != nil && !token.IsCore(text) {
		return nil, err
	}
	own := *req
	own.Header = req.Header.Clone() // the request may be sent again with another token
	own.Header.Set("Authorization", "Bearer "+text)
	return c.Next.Do(&own)
}

// Direct returns a client that follows no redirect with a token to where the token is
// not for.
func (c Client) Direct(client connect.HTTPClient) connect.HTTPClient {
	follows, ok := client.(*http.Client)
	if !ok || c.Token == nil {
		return client
	}
	own := *follows
	own.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if via[0].Header.Get("Authorization") != "" && !c.knows(req.URL) {
			return fault.New(fault.PlaintextRefused, "%s sends requests on to %s, and the token is not for that host", cores.Origin(via[0].URL), cores.Origin(req.URL)).
				WithFix("use the address of the core itself").With("url", cores.Origin(req.URL))
		}
		if follows.CheckRedirect != nil {
			return follows.CheckRedirect(req, via)
		}
		if len(via) >= maxRedirects {
			return fault.New(fault.CoreUnreachable, "%s sends requests on, and on", cores.Origin(via[0].URL))
		}
		return nil
	}
	return &own
}

// maxRedirects is what net/http allows by default.
const maxRedirects = 10

// knows reports whether a URL is at a core of the list.
func (c Client) knows(u *url.URL) bool {
	return slices.ContainsFunc(c.Cores, func(core cores.Core) bool { return cores.Origin(core.URL) == cores.Origin(u) })
}
