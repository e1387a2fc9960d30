package client

import (
	"context"

	"github.com/ruedo-dev/ruedo/sdk/client/internal/bearer"
)

// Token returns the token of a request; "" means none. It is called by many
// goroutines, once per request, so it keeps what is slow to find out.
type Token func(ctx context.Context) (string, error)

// StaticToken returns the token that it is given.
func StaticToken(text string) Token {
	return func(context.Context) (string, error) { return text, nil }
}

// TokenFile returns the token in a file, which is read again when it has changed. A
// file that every user of the machine can read is refused.
func TokenFile(path string) Token { return bearer.File(path) }

// WithToken sends a token with each request. A token goes to the cores that [New]
// names and nowhere else: a redirect to another host fails, and so does plain HTTP
// beyond this machine, with PLAINTEXT_REFUSED. A text that is not a token is not sent;
// it fails with TOKEN_INVALID.
//
// An HTTP client of [WithHTTPClient] that is not an *http.Client must not follow
// redirects.
func WithToken(t Token) Option {
	return func(c *config) { c.token = t }
}
