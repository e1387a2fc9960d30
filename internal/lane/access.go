package lane

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/loopback"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// handshakeTime bounds a handshake of TLS.
const handshakeTime = 10 * time.Second

// Access says how a runner and a core know each other. The zero Access shows nothing,
// and trusts the authorities of the system.
type Access struct {
	// Token returns what the runner shows with each request; "" is nothing. It is not
	// sent without TLS to another machine: that fails with PLAINTEXT_REFUSED.
	Token func(context.Context) (string, error)
	// TLS is the configuration of connections to an https URL.
	TLS *tls.Config
	// Socket is the path of the core's unix socket, which takes the place of its URL. If
	// it is "", the URL counts.
	Socket string
}

// bearer shows a token with each request.
type bearer struct {
	next  connect.HTTPClient
	token func(context.Context) (string, error)
	core  *url.URL
}

// Do sends a request.
func (b bearer) Do(req *http.Request) (*http.Response, error) {
	if b.token == nil {
		return b.next.Do(req)
	}
	text, err := b.token(req.Context())
	switch {
	case err != nil:
		return nil, err
	case text == "":
		return b.next.Do(req)
	case b.core.Scheme != "https" && !loopback.Is(b.core.Host):
		return nil, fault.New(fault.PlaintextRefused, "the token of the runner is not sent to %s: without TLS, everybody on the way could read it", b.core).
			WithFix("use the https URL of the core (runner.cores)")
	}
	if _, err := token.Parse(token.Bearer, text); err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+text)
	return b.next.Do(req)
}

// stay follows no redirect: a core sends nobody elsewhere, and its token is for nobody
// else.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
