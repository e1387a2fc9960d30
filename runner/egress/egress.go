// Package egress opens the outbound streams of services, as far as they may.
//
// A runner has one [Egress]. Each plan has a [Policy], which has the rules that the
// service was granted and connections that no other service uses. Each call has a
// [Call], which is the opener of its streams and counts what it uses.
//
//	e, err := egress.New(egress.Config{Own: []string{"http://127.0.0.1:7833"}})
//	p, err := e.Policy([]string{"GET https://api.example.com"})
//	c := p.Call(slog.String("service", "greet"))
//	result, err := template.Call(ctx, sandbox.Request{Opener: c})
//	used := c.Report()
//
// # What is checked
//
//  1. The runner's own deny list, by name, which no grant overrides.
//  2. The rules of the service, by name, before anything is resolved.
//  3. Each address that a name has, immediately before it is connected to: again the
//     deny list; then it is public, or a rule names it.
//
// So a name that changes its address in between (rebinding) gains nothing. No
// redirect is followed: the client in the guest does, and each hop is a stream of
// its own, which is checked from the beginning.
package egress

import (
	"cmp"
	"crypto/x509"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/internal/grant"
)

// Limits of a call, and of a runner.
const (
	// MaxOpen is how many streams a call can have open at the same time.
	MaxOpen = 32
	// MaxStreams is how many it can open.
	MaxStreams = 256
	// MaxBytes is how many bytes it can send, and how many receive.
	MaxBytes = 64 << 20
	// MaxRunnerStreams is how many streams all calls of a runner can have open at the
	// same time.
	MaxRunnerStreams = 4096
	// MaxHeader is how many bytes the head of an HTTP answer can have.
	MaxHeader = 64 << 10
	// DialTimeout bounds resolving a name and connecting, with TLS.
	DialTimeout = 10 * time.Second
	// FirstByteTimeout bounds waiting for an HTTP answer after the request was sent.
	FirstByteTimeout = time.Minute
)

// Config configures an Egress. A zero field means its default.
type Config struct {
	// Deny is what no service reaches: names, addresses and ranges, each with or
	// without a port. Default: [Default] alone.
	Deny []string
	// Own is what the runner belongs to, for [Default]: listeners of this process,
	// cores and the hosts of the store, each as a URL, host:port or :port.
	Own []string
	// RootCAs are who can sign certificates. Default: those of the system.
	RootCAs *x509.CertPool
	// Resolver of names. Default: that of package net.
	Resolver *net.Resolver
	// Logger receives the first refusal of each call. Default: discard.
	Logger *slog.Logger

	// Tests wait less.
	dialTimeout, firstByte time.Duration
	maxBytes               int64
}

// Egress opens outbound streams for the services of one runner. It is safe for
// concurrent use.
type Egress struct {
	cfg  Config
	deny *deny
	open atomic.Int64 // streams
}

// New returns an Egress. The error is CONFIG_INVALID.
func New(cfg Config) (*Egress, error) {
	cfg.Resolver = cmp.Or(cfg.Resolver, net.DefaultResolver)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	cfg.dialTimeout = cmp.Or(cfg.dialTimeout, DialTimeout)
	cfg.firstByte = cmp.Or(cfg.firstByte, FirstByteTimeout)
	cfg.maxBytes = cmp.Or(cfg.maxBytes, MaxBytes)
	d, err := newDeny(cfg.Deny, cfg.Own, cfg.Resolver)
	if err != nil {
		return nil, err
	}
	return &Egress{cfg: cfg, deny: d}, nil
}

// SetCores sets the URLs of the runner's cores, which [Default] has.
func (e *Egress) SetCores(urls []string) { e.deny.setCores(urls) }

// Policy returns the policy of a plan. It has no connections yet. The error is
// that of a rule; see [grant.Parse].
func (e *Egress) Policy(rules []string) (*Policy, error) {
	parsed, err := grant.New(rules)
	if err != nil {
		return nil, err
	}
	return &Policy{egress: e, rules: parsed}, nil
}
