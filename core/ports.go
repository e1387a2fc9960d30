package core

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// listenForApps opens the port for web applications, if there is one.
func (c *Core) listenForApps() error {
	if c.cfg.Apps == "" {
		return nil
	}
	l, err := port.Listen(c.cfg.Apps)
	if err != nil {
		return fault.FromError(err).With("apps", c.cfg.Apps)
	}
	c.appsAt = l
	c.onClose("the listener for web applications", func(context.Context) error {
		_ = l.Close() // closed already if Serve ran
		return nil
	})
	return nil
}

// serve serves the ports and the socket. The channel gets the error of each that ends.
func (c *Core) serve() (ended <-chan error) {
	errs := make(chan error, 3)
	run := func(p *port.Server, l net.Listener, cfg *tls.Config) {
		c.goroutines.Go(func() {
			if cfg != nil {
				errs <- p.ServeTLS(l, cfg)
			} else {
				errs <- p.Serve(l)
			}
		})
	}
	run(c.port, c.listener, c.doors.TLS)
	if c.appsAt != nil {
		run(c.apps, c.appsAt, c.doors.TLS)
	}
	if c.doors.Socket != nil {
		run(c.port, c.doors.Socket, nil)
	}
	return errs
}

// closePorts ends both ports and the lanes within ctx. The order is that in which one
// needs the other: runners fetch and push what streams for a web application over
// the API's port, and lanes stay up until the calls on them have ended.
func (c *Core) closePorts(ctx context.Context) error {
	var leaving sync.WaitGroup
	for _, p := range []*port.Server{c.apps, c.port} {
		leaving.Go(func() { p.Leave(ctx, c.cfg.Farewell) })
	}
	leaving.Wait()
	c.stop()
	return errors.Join(c.apps.Drain(ctx), c.port.Drain(ctx), c.lanes.Close(ctx), c.apps.Close(ctx), c.port.Close(ctx))
}
