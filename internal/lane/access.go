package lane

import (
	"context"
	"crypto/tls"
	"time"
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
