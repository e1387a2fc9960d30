// Package handshake bounds what handshakes of TLS can cost.
//
// A handshake computes for a fraction of a millisecond, and a stranger can ask for
// thousands of them. Only as many compute at a time as there are turns, so that the
// other CPUs are free for calls. A turn begins when the peer has said hello and ends
// with the first answer, so no peer can hold one by being silent.
package handshake

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

// patience is how long a handshake waits for its turn.
const patience = 2 * time.Second

// Turns are shared by the listeners of a server. Create them with New.
type Turns chan struct{}

// New returns turns for half of the CPUs.
func New() Turns { return make(Turns, max(runtime.GOMAXPROCS(0)/2, 1)) }

// Bound returns a configuration for Server whose handshakes take turns.
func (t Turns) Bound(cfg *tls.Config) *tls.Config {
	bound := cfg.Clone()
	bound.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if err := t.take(hello); err != nil || cfg.GetConfigForClient == nil {
			return nil, err
		}
		return cfg.GetConfigForClient(hello)
	}
	return bound
}

func (t Turns) take(hello *tls.ClientHelloInfo) error {
	c, ok := hello.Conn.(*Conn)
	if !ok {
		return errors.New("handshake: the connection was not made by Server")
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case t <- struct{}{}:
	case <-late.C:
		return errors.New("handshake: too many others")
	case <-hello.Context().Done():
		return hello.Context().Err()
	}
	c.turn.Store(&t)
	context.AfterFunc(hello.Context(), c.end) // however the handshake ends
	return nil
}

// Conn is a connection below TLS.
type Conn struct {
	net.Conn
	turn atomic.Pointer[Turns] // nil without a turn
}

// Server returns the server's end of a connection. cfg is from Bound.
func Server(c net.Conn, cfg *tls.Config) *tls.Conn { return tls.Server(&Conn{Conn: c}, cfg) }

// NetConn returns the connection itself.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Write ends the turn, because what has been computed is being sent.
func (c *Conn) Write(p []byte) (int, error) {
	if c.turn.Load() != nil {
		c.end()
	}
	return c.Conn.Write(p)
}

func (c *Conn) end() {
	if t := c.turn.Swap(nil); t != nil {
		<-*t
	}
}
