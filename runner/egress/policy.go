package egress

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/grant"
)

const (
	// maxIdle is how many connections a plan keeps for later requests, and
	// maxIdlePerHost how many of them to one host.
	maxIdle, maxIdlePerHost = 16, 4
	idleTimeout             = 30 * time.Second
	// window is how much of an answer over HTTP/2 arrives before the guest reads it.
	window = 256 << 10
	// pingAfter is how long a connection of HTTP/2 is silent before it is checked.
	pingAfter = 30 * time.Second
	// continueTimeout is how long a request that expects 100-continue waits for it.
	continueTimeout = time.Second
)

// Policy is what a plan may reach, and the connections of its HTTP requests. It is
// safe for concurrent use.
type Policy struct {
	egress *Egress
	rules  grant.Rules

	mu         sync.Mutex
	transports map[string]*http.Transport // by the ranges that they may connect to
}

// Call returns the opener of one call's streams. about says in the log whose call
// it is.
func (p *Policy) Call(about ...slog.Attr) *Call { return &Call{policy: p, about: about} }

// Close closes the connections that no call uses.
func (p *Policy) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.transports {
		t.CloseIdleConnections()
	}
	p.transports = nil
}

// target is what may be connected to, if its addresses may.
type target struct {
	grant.Target
	match grant.Match
}

// admit checks a target as the guest has written it. That a connection is there
// already changes nothing.
func (p *Policy) admit(ctx context.Context, t grant.Target) (*target, error) {
	check := func() (string, bool) { return p.egress.deny.name(t.Name, t.Port) }
	if t.Address.IsValid() {
		check = func() (string, bool) { return p.egress.deny.address(ctx, t.Address, t.Port) }
	}
	if item, denied := check(); denied {
		return nil, refused(item, t, t.Address)
	}
	m, ok := p.rules.Match(t)
	switch {
	case ok:
		return &target{t, m}, nil
	case len(p.rules) == 0:
		return nil, blocked("the service has no grant for the network: %s needs %q in grants.egress of a decorator that the service carries", t, t.Rule())
	}
	return nil, blocked("no rule of the service grants %s: it needs %q in grants.egress of a decorator that the service carries", t, t.Rule())
}

func blocked(format string, args ...any) *fault.Error {
	return fault.New(fault.EgressBlocked, format, args...)
}

// refused is the error for what the deny list has.
func refused(item string, t grant.Target, a netip.Addr) *fault.Error {
	e := blocked("the runner lets no service reach %s (runner.egress_deny has %s)", t, item)
	if a.IsValid() {
		e.With(factAddress, a)
	}
	return e
}

// factAddress is the fact of an error that names the refused address.
const factAddress = "address"

// public refuses addresses that are not on the internet.
var public = ssrf.New(ssrf.WithAnyPort())

// targetKey is the key of the target in the context of a dial.
type targetKey struct{}

// withTarget returns a context for connecting to t.
func withTarget(ctx context.Context, t *target) context.Context {
	return context.WithValue(ctx, targetKey{}, t)
}

// control checks each address that is about to be connected to, after a name was
// resolved: a name can have any address.
func (p *Policy) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	t, ok := ctx.Value(targetKey{}).(*target)
	at, err := netip.ParseAddrPort(address)
	if err != nil || !ok {
		return blocked("an address of it cannot be checked")
	}
	a := at.Addr().Unmap()
	switch item, denied := p.egress.deny.address(ctx, a, at.Port()); {
	case denied:
		return refused(item, t.Target, a)
	case a.Zone() != "" || a.IsUnspecified():
	case t.match.Leads(a), public.SafeAddr(a) == nil:
		return nil
	}
	why := "a rule with a name leads to the internet only, unless it ends with \"to\" and the range of the address"
	if t.Address.IsValid() {
		why = "no rule grants it"
	}
	return blocked("%s has an address that is not public: %s", t.Target, why).With(factAddress, a)
}

// dial connects to the target in the context.
func (p *Policy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: p.egress.cfg.dialTimeout, Resolver: p.egress.cfg.Resolver, ControlContext: p.control}
	return d.DialContext(ctx, network, address)
}

// tls returns the configuration of connections that the host secures.
func (p *Policy) tls(name string) *tls.Config {
	return &tls.Config{RootCAs: p.egress.cfg.RootCAs, ServerName: name, MinVersion: tls.VersionTLS12}
}

// transport returns the connections for HTTP requests to a target. Two targets
// share them only if they may connect to the same ranges.
func (p *Policy) transport(t *target) *http.Transport {
	key := fmt.Sprint(t.match.To)
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.transports[key]; have != nil {
		return have
	}
	if p.transports == nil {
		p.transports = make(map[string]*http.Transport)
	}
	have := &http.Transport{
		DialContext:            p.dial,
		TLSClientConfig:        p.tls(""),
		TLSHandshakeTimeout:    p.egress.cfg.dialTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		ResponseHeaderTimeout:  p.egress.cfg.firstByte,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: MaxHeader,
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: window, SendPingTimeout: pingAfter},
	}
	p.transports[key] = have
	return have
}
