// Package front serves plain calls over HTTP/1.1: a POST below one path, or to a
// procedure of Connect, whose head arrives in one piece and announces a short body.
// net/http serves the same requests, and all others; its work for one is most of what a
// small call costs a core.
//
//	f := front.New(front.Config{})
//	f.Handle("/call/", h)
//	f.HandleProcedure("/ruedo.v1.InvokeService/Invoke", h)
//	go http.Serve(f, mux)  // all that is not plain
//	f.Serve(c)             // each connection
//	f.Leave()              // finishes what is in flight
//	err := f.Wait(ctx)
//	f.Shut()
//
// # Two parsers, one meaning
//
// A request is read by one parser only. Here, a head is plain or it is not, and one that
// is not goes to net/http with every byte unread, along with its connection. Plain is
// narrow: known bytes, one Host, one Content-Length, nothing about the connection or the
// encoding of the body. What is plain here means the same there, which a fuzzer holds
// against net/http; see parse.
//
// The handler sees an ordinary request and answers with an ordinary ResponseWriter, so
// limits, deadlines, access and counting are those of net/http's requests.
//
// # Callers who leave
//
// net/http notices a caller who is gone with a read in the background of each request.
// Here, connections whose request has taken a while are looked at, all by one goroutine.
// The context is that of the connection: it ends when the caller is gone, and with the
// connection, but not with each request.
package front

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Config.
const (
	DefaultFirst = 5 * time.Second
	DefaultIdle  = 2 * time.Minute
)

// Config configures a Front. The zero value of a field means its default.
type Config struct {
	// Ready is called first, on the goroutine of the connection, and reports whether plain
	// requests can come: if not, net/http has the connection immediately. Default: they can.
	Ready func(ctx context.Context, c net.Conn) bool
	// Context returns the context of the requests of a connection. Default: parent
	// itself.
	Context func(parent context.Context, c net.Conn) context.Context
	// Panicked is told what a handler has panicked with, other than
	// http.ErrAbortHandler. The connection ends. Default: the panic goes on.
	Panicked func(r *http.Request, p any)
	// State is called when a connection begins to have a request in flight, and when it
	// is idle again. Default: nobody is told.
	State func(c net.Conn, s http.ConnState)
	// First is how long the first request of a connection can take to arrive, and Idle
	// how long a later one can. Defaults: [DefaultFirst], [DefaultIdle].
	First, Idle time.Duration
}

// Front serves connections. It is the listener of the net/http server that serves what
// is not plain. Its methods can be called from many goroutines at the same time.
type Front struct {
	cfg    Config
	routes routes
	works  sync.Pool // of *work

	down context.Context // ends with Shut
	stop context.CancelFunc
	// passed are connections for net/http, until it has closed its listener.
	passed chan net.Conn
	closed chan struct{}
	once   sync.Once

	clock    atomic.Pointer[clock]
	leaving  atomic.Bool
	serving  sync.WaitGroup // connections
	watching sync.WaitGroup
	mu       sync.Mutex
	conns    map[*conn]struct{}
	watched  bool // a watch looks at them
	shut     bool
}

// New returns a front.
func New(cfg Config) *Front {
	cfg.First, cfg.Idle = cmp.Or(cfg.First, DefaultFirst), cmp.Or(cfg.Idle, DefaultIdle)
	if cfg.Ready == nil {
		cfg.Ready = func(context.Context, net.Conn) bool { return true }
	}
	if cfg.Context == nil {
		cfg.Context = func(parent context.Context, _ net.Conn) context.Context { return parent }
	}
	if cfg.State == nil {
		cfg.State = func(net.Conn, http.ConnState) {}
	}
	f := &Front{
		cfg: cfg, routes: routes{procedures: make(map[string]http.Handler)}, works: sync.Pool{New: newWork},
		passed: make(chan net.Conn), closed: make(chan struct{}), conns: make(map[*conn]struct{}),
	}
	f.down, f.stop = context.WithCancel(context.Background())
	return f
}

// Serve serves a connection on a goroutine of its own, and closes it at the end. When a
// request arrives that is not plain, Accept returns the connection.
func (f *Front) Serve(nc net.Conn) {
	c := newConn(f, nc)
	if !f.add(c) {
		c.cancel()
		_ = nc.Close()
		return
	}
	go func() {
		defer f.serving.Done()
		pass, rest := true, []byte(nil)
		if f.routes.any() && f.cfg.Ready(c.ctx, nc) {
			rest, pass = c.serve()
		}
		f.remove(c)
		c.cancel()
		if !pass || !f.pass(nc, rest) {
			_ = nc.Close()
		}
	}()
}

// add registers a connection, unless the front is going down.
func (f *Front) add(c *conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shut || f.leaving.Load() {
		return false
	}
	f.serving.Add(1)
	f.conns[c] = struct{}{}
	if !f.watched {
		f.watched = true
		f.watching.Go(f.watch)
	}
	return true
}

func (f *Front) remove(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// Leave ends idle connections, and each other one after its answer. No more are served.
func (f *Front) Leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaving.Store(true)
	for c := range f.conns {
		c.interrupt()
	}
}

// Wait waits until no connection is served here, or for ctx, whose error it returns then.
// Call Leave before it, and Shut after it.
func (f *Front) Wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // until Shut at the latest
		f.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shut closes all connections that are served here, and waits until their handlers have
// returned.
func (f *Front) Shut() {
	f.mu.Lock()
	f.shut = true
	for c := range f.conns {
		_ = c.Conn.Close()
	}
	f.mu.Unlock()
	f.stop()
	_ = f.Close()
	f.serving.Wait()
	f.watching.Wait()
}
