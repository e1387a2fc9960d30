package lane

import (
	"context"
	"net"

	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
)

// Speak makes the core one of another version.
func (c *HubConfig) Speak(r protocol.Range) { c.speaks = r }

// Speak makes the runner one of another version.
func (c *ConnConfig) Speak(r protocol.Range) { c.speaks = r }

// DialWith makes the runner's connections in another way than over TCP.
func (c *ConnConfig) DialWith(f func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.dial = f
}
