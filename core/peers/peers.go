// Package peers asks the other cores of a cluster how they are.
//
//	p := peers.New(peers.Config{Cluster: "default", Self: "core-1"})
//	defer p.Close()
//	reports := p.Ask(ctx, cores)
//
// [NewQuestion] makes questions about other things than the status.
//
// Nothing is asked before somebody wants to know, and nothing is stored: what a
// core says of itself is true now, and a core that does not answer is one that
// cannot be reached. However often Ask is called, each core is asked once a
// second at most.
//
// All methods can be called from many goroutines.
package peers

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

const (
	// patience is how long a core has to answer.
	patience = time.Second
	// fresh is how long an answer counts.
	fresh = time.Second
	// parallel bounds the cores that are asked at the same time.
	parallel = 16
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 256 << 10
)

// Config configures Peers. Cluster and Self are required.
type Config struct {
	// Cluster is the id of the cluster. Cores of another one do not answer.
	Cluster string
	// Self is the id of this core, which is not asked.
	Self string
	// Token returns what this core shows to the others; "" is nothing, which is the
	// default.
	Token func() string
	// TLS is the configuration of connections to cores that have TLS. Nil: the
	// system's.
	TLS *tls.Config
}

// Peers asks other cores.
type Peers struct {
	cfg       Config
	transport *http.Transport
	ctx       context.Context // of all requests
	cancel    context.CancelFunc
	status    *Question[ruedov1.Core]

	mu sync.Mutex // nothing begins after Close
	wg sync.WaitGroup
}

// New returns Peers. It asks nobody.
func New(cfg Config) *Peers {
	p := &Peers{cfg: cfg, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: patience}).DialContext,
		TLSHandshakeTimeout: patience,
		TLSClientConfig:     cfg.TLS,
		ForceAttemptHTTP2:   cfg.TLS != nil,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.status = NewQuestion(p, p.askStatus)
	return p
}

// Close ends all requests and waits for them.
func (p *Peers) Close() {
	p.mu.Lock()
	p.cancel()
	p.mu.Unlock()
	p.wg.Wait()
	p.transport.CloseIdleConnections()
}

// Ask returns what other cores say of themselves, by id. A core that does not
// answer within a second, or before ctx ends, is not in the answer. The messages
// are shared and must not be changed.
func (p *Peers) Ask(ctx context.Context, cores map[string]*ruedov1.Core) map[string]*ruedov1.Core {
	return p.status.Ask(ctx, cores)
}

// gather asks the other cores, several at the same time, for a second in all. It
// returns their answers by the ids of the cores. A core whose answer is nil is
// not among them, which is not a failure.
func gather[T any](ctx context.Context, p *Peers, cores map[string]*ruedov1.Core, ask func(ctx context.Context, id, url string) *T) map[string]*T {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers := map[string]*T{}
	var mu sync.Mutex
	var asked errgroup.Group
	asked.SetLimit(parallel)
	for id, core := range cores {
		if id == p.cfg.Self || core.GetUrl() == "" {
			continue
		}
		asked.Go(func() error {
			if answer := ask(ctx, id, core.GetUrl()); answer != nil {
				mu.Lock()
				defer mu.Unlock()
				answers[id] = answer
			}
			return nil
		})
	}
	_ = asked.Wait() // its functions return nil
	return answers
}

// Client returns the client of requests to other cores.
func (p *Peers) Client() connect.HTTPClient { return &http.Client{Transport: p.transport} }

// Context returns the context of a request to another core: it says who this core is,
// and a core of another cluster refuses it.
func (p *Peers) Context(ctx context.Context) context.Context {
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set(headers.Cluster, p.cfg.Cluster)
	if p.cfg.Token != nil {
		if t := p.cfg.Token(); t != "" {
			info.RequestHeader().Set("Authorization", "Bearer "+t)
		}
	}
	return ctx
}

// askStatus returns what a core says of itself, or nil if it does not answer.
// Behind its address can be another core by now, which says nothing about this
// one.
func (p *Peers) askStatus(ctx context.Context, id, url string) *ruedov1.Core {
	api := ruedov1connect.NewClusterServiceClient(p.Client(), url, connect.WithReadMaxBytes(maxAnswer))
	res, err := api.GetStatus(p.Context(ctx), &ruedov1.GetStatusRequest{})
	if err != nil || res.GetCore().GetId() != id {
		return nil
	}
	return res.GetCore()
}
