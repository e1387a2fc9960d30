package port

import (
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/middleware"
	"github.com/ruedo-dev/ruedo/internal/port/conns"
	"github.com/ruedo-dev/ruedo/internal/port/head"
)

// DefaultTotal is how long a body can take to arrive.
const DefaultTotal = 5 * time.Minute

// Bounds bound the cost of one request.
type Bounds struct {
	// Message is the size of the largest message that a Connect handler
	// decodes, in bytes after inflation. Required for Connect handlers.
	Message int
	// Body is the size of the largest body, in bytes as sent. Default: slightly
	// more than Message, for a request of one message. For plain HTTP it is
	// unlimited, because the handler bounds it.
	Body int64
	// Weight is how many bytes of memory one byte of the body can take when
	// decoded. That much is charged to the budget. Zero charges nothing: the
	// handler bounds the memory that it retains.
	Weight int
	// Total is how long a body can take to arrive. Default: [DefaultTotal].
	Total time.Duration
	// Stream marks a request that lasts as long as both ends want and checks on
	// its own whether its peer is alive. The speed rules do not apply to it,
	// and Drain does not wait for it.
	Stream bool
	// Duplex lets a handler read the body on one goroutine and write the answer on
	// another one. A body of unknown length can pause: the handler bounds how long.
	// A handler whose answer begins before it has read the body to its end calls
	// [CloseAfter].
	Duplex bool
	// Unchecked leaves the rules of messages to the handler: it checks what it
	// reads by hand.
	Unchecked bool
	// Plain has package front serve those requests of Connect that it knows how to. The
	// handler must not use a request, or the ResponseWriter, when it has returned.
	Plain bool
	// Foreign reports whether the field Authorization of a request is for somebody
	// whom the handler passes it to: to this server, the request is then anonymous.
	// Nil: it never is.
	Foreign func(r *http.Request) bool
}

// envelope bounds what surrounds a message in a body: prefix, trailers, gzip's
// header.
const envelope = 4 << 10

// one reports whether a request is one message.
func (b Bounds) one() bool { return b.Body == int64(b.Message)+envelope }

func (b Bounds) complete() Bounds {
	if b.Body == 0 && b.Message > 0 {
		b.Body = int64(b.Message) + envelope
	}
	if b.Total == 0 {
		b.Total = DefaultTotal
	}
	return b
}

// Route is a served pattern with its bounds.
type Route struct {
	Pattern string
	// Rule is what the route needs of its callers.
	Rule *access.Rule
	Bounds
}

// route is what an exchange knows about its route.
type route struct {
	Bounds
	rule    *access.Rule // nil lets everybody
	count   func(outcome fault.Reason)
	connect bool
}

// Routes returns all routes in the order in which they were mounted.
func (s *Server) Routes() []Route { return s.routes }

// Connect mounts the handlers of one Connect service, each procedure with
// bounds of its own. construct is the generated constructor; it is called with
// the options that all handlers of a port share, and must pass them on before
// its own options. except holds the bounds of procedures that differ from those
// of the service, by full name.
func (s *Server) Connect(b Bounds, construct func(opts ...connect.HandlerOption) (string, http.Handler), except map[string]Bounds) {
	var procedures []string
	rules := make(map[string]*access.Rule)
	bounds := func(procedure string) Bounds {
		if own, ok := except[procedure]; ok {
			return own.complete()
		}
		return b.complete()
	}
	_, h := construct(connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
		procedures = append(procedures, spec.Procedure)
		own := bounds(spec.Procedure)
		chain := middleware.Chain{
			Procedure: spec.Procedure, MaxBytes: own.Message, Unchecked: own.Unchecked, Turns: s.turns, Count: Count, Logger: s.log,
		}
		if s.cfg.Rule != nil {
			rules[spec.Procedure], chain.Rule = s.cfg.Rule(spec)
		}
		return chain.Options()
	}))
	for _, procedure := range procedures {
		r := &route{Bounds: bounds(procedure), rule: rules[procedure], count: s.cfg.Count(procedure), connect: true}
		mounted := s.mount(procedure, r, h)
		if r.Plain {
			s.front.HandleProcedure(procedure, s.checked(mounted))
		}
	}
}

// Handle mounts a plain HTTP handler, for those who have what its rule needs. Its
// requests are counted under name. A handler that knows more about their outcome than
// the status says calls [Count].
func (s *Server) Handle(pattern, name string, rule *access.Rule, b Bounds, h http.Handler) {
	s.mount(pattern, s.plain(name, rule, b), h)
}

// HandlePlain mounts a handler as Handle does, for POST below a prefix. Those requests
// that package front knows how to serve need no net/http then.
func (s *Server) HandlePlain(prefix, name string, rule *access.Rule, b Bounds, h http.Handler) {
	s.front.Handle(prefix, s.checked(s.mount("POST "+prefix+"{name}", s.plain(name, rule, b), h)))
}

// plain returns a route of plain HTTP. It panics if nothing says whom it is for.
func (s *Server) plain(name string, rule *access.Rule, b Bounds) *route {
	if rule == nil {
		panic("port: the route of " + name + " has no access rule")
	}
	return &route{Bounds: b.complete(), rule: rule, count: s.cfg.Count(name)}
}

// HandleRaw mounts a plain HTTP handler for all paths below prefix, which ends with a
// slash. Unlike that of [Server.Handle], it gets paths as they were sent, neither
// cleaned nor redirected.
func (s *Server) HandleRaw(prefix, name string, rule *access.Rule, b Bounds, h http.Handler) {
	s.raw = append(s.raw, raw{prefix, s.outside(prefix, s.plain(name, rule, b), h)})
}

// raw is a handler of all paths below a prefix.
type raw struct {
	prefix string
	h      http.Handler
}

// HandleHosts mounts a plain HTTP handler for requests that name a host which is not
// the server's, if takes reports true. No other route serves such requests.
func (s *Server) HandleHosts(name string, rule *access.Rule, b Bounds, takes func(*http.Request) bool, h http.Handler) {
	s.foreign = choice{takes, s.outside("hosts of services", s.plain(name, rule, b), h)}
}

// HandleRest mounts a plain HTTP handler for requests that no other route serves, if
// takes reports true.
func (s *Server) HandleRest(name string, rule *access.Rule, b Bounds, takes func(*http.Request) bool, h http.Handler) {
	s.rest = choice{takes, s.outside("everything else", s.plain(name, rule, b), h)}
}

func (s *Server) outside(pattern string, r *route, h http.Handler) http.Handler {
	s.routes = append(s.routes, Route{pattern, r.rule, r.Bounds})
	return r.handler(s, h)
}

// choice is a handler that may take a request. The zero choice takes none.
type choice struct {
	takes func(*http.Request) bool
	h     http.Handler
}

// serve reports whether the request was taken.
func (c choice) serve(w http.ResponseWriter, r *http.Request) bool {
	if c.takes == nil || !c.takes(r) {
		return false
	}
	c.h.ServeHTTP(w, r)
	return true
}

func (s *Server) mount(pattern string, r *route, h http.Handler) http.Handler {
	h = s.cfg.Origins.Readable(s.outside(pattern, r, h))
	s.mux.Handle(pattern, h)
	return h
}

// handler returns a handler that runs h within the bounds of the route.
func (r *route) handler(s *Server, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.sayGoodbye(w, req)
		c := conns.From(req.Context())
		x := &exchange{
			Context: req.Context(),
			w:       w,
			body:    req.Body,
			s:       s,
			route:   r,
			conn:    c,
			http1:   req.ProtoMajor == 1,
			gzip:    head.Compressed(req.Header),
		}
		if x.announced = req.ContentLength; r.Body > 0 {
			x.announced = min(x.announced, r.Body) // the excess is not read
		}
		x.in.Budget, x.out.Budget = &s.bodies, &s.answers
		if c != nil {
			x.in.Shared, x.out.Shared = &c.Bodies, &c.Answers
			x.in.Limit, x.out.Limit = s.cfg.ConnMemory, s.cfg.ConnMemory
		}
		x.handle(h, req)
	})
}
