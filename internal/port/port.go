// Package port serves a TCP port that its callers cannot starve: whatever they
// send, or refuse to read, costs the process bounded memory, time and
// descriptors.
//
//	s := port.New(port.Config{Logger: log})
//	s.Connect(port.Bounds{Message: 1 << 20, Weight: 8}, func(opts ...connect.HandlerOption) (string, http.Handler) {
//		return ruedov1connect.NewInvokeServiceHandler(h, opts...)
//	}, nil)
//	s.Handle("GET /healthz", "healthz", access.Open(), port.Bounds{}, health)
//	err = s.Serve(listener) // until Drain
//	err = s.Drain(ctx)      // finishes what is in flight
//	err = s.Close(ctx)
//
// Connect, gRPC, gRPC-Web and plain HTTP share the port, over HTTP/1.1 and h2c, or
// over TLS with [Server.ServeTLS]. A unix socket can be served next to it.
//
// # One set of rules
//
// A handler can be mounted only together with its [Bounds] and a rule of who may have
// it, so no route is without them. Every request passes through the same stages:
//
//	host and origin -> count in flight -> recover -> who it is of -> rule -> bounded body and answer -> handler
//
// # Bodies and answers
//
// After [Config.Idle], a body must have arrived, and an answer must have been
// read, at [Config.Rate] on average. Neither may stand still for as long as
// Idle. A watch looks at all requests in flight once a tick, so the rule costs
// a request a few atomic operations and no timer.
//
// Work on large messages (inflating, compressing, translating) is done in
// turns, on half of the CPUs.
//
// Bytes in flight are charged to a budget of the connection and one of the
// server, bodies by the memory that they can take when decoded. When a budget
// is used up, the request with the slowest peer is ended. If that makes no room
// in time, the new request is refused with SERVER_BUSY.
//
// # Connections
//
// The server keeps a reserve of file descriptors: at its limit of connections,
// it closes an idle one for each that it accepts. It closes a connection that
// resets streams by the thousand.
//
// Garbage of large requests is collected within a few ticks, so that their
// memory is free again when they are over.
//
// Under pressure, which begins at three quarters of any of these limits,
// patience shrinks to a fifth. A large request that uses up a budget alone is no
// pressure until another one waits for room.
package port

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/middleware"
	"github.com/ruedo-dev/ruedo/internal/port/budget"
	"github.com/ruedo-dev/ruedo/internal/port/conns"
	"github.com/ruedo-dev/ruedo/internal/port/flight"
	"github.com/ruedo-dev/ruedo/internal/port/front"
	"github.com/ruedo-dev/ruedo/internal/port/garbage"
	"github.com/ruedo-dev/ruedo/internal/port/gate"
	"github.com/ruedo-dev/ruedo/internal/port/handshake"
	"github.com/ruedo-dev/ruedo/internal/port/origins"
	"github.com/ruedo-dev/ruedo/internal/port/proxies"
)

// Defaults of Config.
const (
	DefaultIdle        = 10 * time.Second
	DefaultRate        = 16 << 10
	DefaultMemory      = 96 << 20
	DefaultConnMemory  = 32 << 20
	DefaultConnections = 8192
	DefaultRequests    = 16384
)

// Bounds of the HTTP server itself.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	maxStreams    = 256
	// streamBuffer and connBuffer bound what a peer can send ahead of a handler
	// that does not read.
	streamBuffer = 256 << 10
	connBuffer   = 1 << 20
	// unreadTimeout is how long the end of an answer can wait for its reader
	// after the handler has returned.
	unreadTimeout = 30 * time.Second
	// lastRead is how long Close waits for peers to read the answers of
	// handlers that have returned.
	lastRead = 3 * time.Second
)

// The headers of all streams of a connection are in no budget, so they have to fit
// into that of a connection.
const _ = uint(DefaultConnMemory - maxStreams*maxHeader)

// Config configures a Server. The zero value of a field means its default.
type Config struct {
	// Idle is how long a body or an answer may stand still. Default:
	// [DefaultIdle].
	Idle time.Duration
	// Rate is how many bytes per second of a body or an answer must pass, on
	// average, after Idle. Default: [DefaultRate].
	Rate int64
	// Memory bounds the bodies in flight, in bytes, and separately the answers.
	// Default: [DefaultMemory].
	Memory int64
	// ConnMemory bounds the same for one connection. Default:
	// [DefaultConnMemory].
	ConnMemory int64
	// Connections is the maximum number of open connections. Default:
	// [DefaultConnections], or the limit of open files minus a reserve, if that
	// is less.
	Connections int
	// Requests is the maximum number of requests in flight. Default:
	// [DefaultRequests].
	Requests int
	// Hosts are the names, without a port, by which the server can be reached,
	// in addition to those that are always allowed; see [Server.Handler].
	Hosts []string
	// Origins are those whose web pages can use what is mounted with Connect and Handle,
	// and send requests to everything else. Default: only the server's own.
	Origins origins.Allowed
	// Cluster is the cluster id. A request that names another one in the field
	// [headers.Cluster] is refused. Empty refuses none.
	Cluster string
	// Count returns the function that counts the requests of a procedure: it is
	// called with the reason of a failure, or "" for success, by many
	// goroutines at the same time. The procedure "" stands for all procedures
	// that do not exist. Nil counts nothing.
	Count func(procedure string) func(outcome fault.Reason)
	// Identify returns who a request is of. It is asked before the handler is, once
	// its host and origin are known to be allowed; an error is the answer. via is one
	// of the words of access, and from the address that the request came from, without
	// a port. A nil principal may do nothing. Default: everybody may do everything, as
	// the user whom this process belongs to.
	Identify func(r *http.Request, via, from string) (*access.Principal, *fault.Error)
	// Rule returns what a procedure needs of its caller, and an option that has its
	// handler check it, before the message is validated. It is called when the handler
	// is made. Nil checks nothing.
	Rule func(spec connect.Spec) (*access.Rule, connect.HandlerOption)
	// Allow returns why the request of a context may not have a route with a rule. It is
	// asked for each request, before its body is read, unless the rule is open. Default:
	// each may.
	Allow func(ctx context.Context, rule *access.Rule) error
	// Proxies are believed when they say where a request came from. Default: nobody is.
	Proxies proxies.Trusted
	// Panicked is called after a handler has panicked. Nil disables it.
	Panicked func()
	// Logger gets panics and internal errors. Nil discards them.
	Logger *slog.Logger
}

// Server serves one port. Mount all routes before the first request. Its other
// methods can be called from many goroutines at the same time.
type Server struct {
	cfg     Config
	log     *slog.Logger
	mux     *http.ServeMux
	gate    *gate.Gate
	routes  []Route
	raw     []raw
	foreign choice // requests that name a host which is not the server's
	rest    choice // requests of unknown paths
	unknown *route
	turns   middleware.Turns
	http    *http.Server
	front   *front.Front // serves plain calls, and is where http gets its connections

	bodies, answers budget.Budget
	conns           *conns.Set
	inflight        flight.Set[*exchange]
	handshakes      handshake.Turns
	mu              sync.Mutex
	listeners       []*listener
	leaving         atomic.Bool // a client that gets an answer is asked to go
	draining        atomic.Bool
	garbage         *garbage.Cleaner

	begin, close sync.Once
	closeError   error         // of the first Close
	stop         chan struct{} // ends the watch
	down         chan error    // what Shutdown returned
	goroutines   sync.WaitGroup
}

// New returns a server without routes. It starts no goroutines before Serve.
func New(cfg Config) *Server {
	cfg.Idle = cmp.Or(cfg.Idle, DefaultIdle)
	cfg.Rate = cmp.Or(cfg.Rate, DefaultRate)
	cfg.Memory = cmp.Or(cfg.Memory, DefaultMemory)
	cfg.ConnMemory = min(cmp.Or(cfg.ConnMemory, DefaultConnMemory), cfg.Memory)
	cfg.Connections = MaxConnections(cfg.Connections)
	cfg.Requests = cmp.Or(cfg.Requests, DefaultRequests)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Count == nil {
		cfg.Count = func(string) func(fault.Reason) { return func(fault.Reason) {} }
	}
	if cfg.Identify == nil {
		everybody := access.Everybody()
		cfg.Identify = func(*http.Request, string, string) (*access.Principal, *fault.Error) { return everybody, nil }
	}
	s := &Server{
		cfg:        cfg,
		log:        cfg.Logger,
		mux:        http.NewServeMux(),
		gate:       gate.New(gate.Config{Cluster: cfg.Cluster, Hosts: cfg.Hosts, Origins: cfg.Origins}),
		turns:      middleware.NewTurns(),
		handshakes: handshake.New(),
		garbage:    garbage.New(),
		stop:       make(chan struct{}),
		down:       make(chan error, 1),
	}
	s.bodies.Limit, s.answers.Limit = cfg.Memory, cfg.Memory
	s.conns = conns.New(cfg.Connections)
	s.unknown = &route{count: cfg.Count(""), rule: access.Own()}
	unknown := s.unknown.handler(s, http.HandlerFunc(NotFound))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if s.rest.serve(w, r) {
			return
		}
		unknown.ServeHTTP(w, r)
	})
	s.http = s.newHTTP()
	s.front = front.New(front.Config{
		Ready: ready, Context: conns.With, State: s.conns.Changed, Panicked: s.panicked, First: headerTimeout, Idle: idleTimeout,
	})
	return s
}

func (s *Server) newHTTP() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           s.Handler(),
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// The watch moves this deadline for requests that are being handled.
		// The time that remains applies to the end of the answer, which
		// net/http writes when the handler has returned.
		WriteTimeout: unreadTimeout,
		ErrorLog:     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnState:    s.conns.Changed,
		ConnContext:  conns.With,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connBuffer,
			MaxReceiveBufferPerStream:     streamBuffer,
			SendPingTimeout:               15 * time.Second,
			PingTimeout:                   5 * time.Second,
			WriteByteTimeout:              15 * time.Second,
		},
	}
}

// Drain stops accepting connections and requests, and waits until only streams
// are in flight. Bodies that are still arriving get a fifth of the usual
// patience. It returns ctx's error if that ends first. Call Close after it.
func (s *Server) Drain(ctx context.Context) error {
	s.shutdown(ctx)
	return s.inflight.Wait(ctx)
}

// Close ends the server. It closes connections when their answers have been
// read, for which peers get a few seconds, or when ctx ends. It waits for the
// goroutines that the server started. Further calls return the result of the
// first.
func (s *Server) Close(ctx context.Context) error {
	s.close.Do(func() { s.closeError = s.closeOnce(ctx) })
	return s.closeError
}

func (s *Server) closeOnce(ctx context.Context) error {
	s.shutdown(ctx)
	last := time.NewTimer(lastRead)
	defer last.Stop()
	var err error
	select {
	case err = <-s.down:
	case <-last.C:
		if n := s.InFlight(); n > 0 {
			err = fmt.Errorf("%d requests were still in flight", n)
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = s.http.Close() // connections that are still open have had their time
	s.front.Shut()
	s.begin.Do(func() {}) // the watch does not start any more
	close(s.stop)
	s.goroutines.Wait()
	return err
}

// shutdown starts to close the server, once.
func (s *Server) shutdown(ctx context.Context) {
	if s.draining.Swap(true) {
		return
	}
	s.stopListening()
	s.front.Leave()
	ctx, cancel := context.WithCancel(ctx)
	s.goroutines.Go(func() {
		s.down <- errors.Join(s.http.Shutdown(ctx), s.front.Wait(ctx))
		close(s.down)
	})
	s.goroutines.Go(func() {
		<-s.stop
		cancel()
	})
}

// Turns returns the turns of work on large messages, for handlers that do such
// work.
func (s *Server) Turns() middleware.Turns { return s.turns }

// InFlight returns the number of requests in flight, without streams.
func (s *Server) InFlight() int { return s.inflight.Len() }

// Caller returns the address at the other end of the connection that a request
// came over, "" if its context is of no request to a Server.
func Caller(ctx context.Context) string {
	if c := conns.From(ctx); c != nil {
		return c.RemoteAddr().String()
	}
	return ""
}
