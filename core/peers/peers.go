// Package peers asks the other cores of a cluster how they are.
//
//	p := peers.New(peers.Config{Cluster: "default", Self: "core-1"})
//	defer p.Close()
//	reports := p.Ask(ctx, cores)
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

// Config configures Peers. All fields are required.
type Config struct {
	// Cluster is the id of the cluster. Cores of another one do not answer.
	Cluster string
	// Self is the id of this core, which is not asked.
	Self string
}

// Peers asks other cores.
type Peers struct {
	cfg       Config
	transport *http.Transport
	ctx       context.Context // of all requests
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	mu   sync.Mutex
	last *round
}

// round is one time that all cores are asked.
type round struct {
	began time.Time
	done  chan struct{}
	// answers are what cores have said, by id. Complete when done is closed.
	answers map[string]*ruedov1.Core
}

// New returns Peers. It asks nobody.
func New(cfg Config) *Peers {
	p := &Peers{cfg: cfg, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: patience}).DialContext,
		TLSHandshakeTimeout: patience,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
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
	r := p.begin(cores)
	select {
	case <-r.done:
		return r.answers
	case <-ctx.Done():
		return nil
	}
}

// begin returns the current round, or starts one.
func (p *Peers) begin(cores map[string]*ruedov1.Core) *round {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil && time.Since(p.last.began) < fresh {
		return p.last
	}
	r := &round{began: time.Now(), done: make(chan struct{}), answers: map[string]*ruedov1.Core{}}
	if p.ctx.Err() != nil {
		close(r.done)
		return r
	}
	p.last = r
	p.wg.Go(func() { p.ask(r, cores) })
	return r
}

func (p *Peers) ask(r *round, cores map[string]*ruedov1.Core) {
	defer close(r.done)
	r.answers = gather(p.ctx, p, cores, p.status)
}

// gather asks the other cores, several at the same time, for a second in all. It
// returns their answers by the ids of the cores. A core whose answer is nil is
// not among them, which is no failure.
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

// called returns a context of a request to another core.
func (p *Peers) called(ctx context.Context) context.Context {
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set(headers.Cluster, p.cfg.Cluster)
	return ctx
}

// status returns what a core says of itself, or nil if it does not answer. Behind
// its address can be another core by now, which says nothing about this one.
func (p *Peers) status(ctx context.Context, id, url string) *ruedov1.Core {
	api := ruedov1connect.NewClusterServiceClient(&http.Client{Transport: p.transport}, url, connect.WithReadMaxBytes(maxAnswer))
	res, err := api.GetStatus(p.called(ctx), &ruedov1.GetStatusRequest{})
	if err != nil || res.GetCore().GetId() != id {
		return nil
	}
	return res.GetCore()
}
