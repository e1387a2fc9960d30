package peers

import (
	"context"
	"sync"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Question is something that all other cores are asked. Its answers have the
// type T.
type Question[T any] struct {
	peers *Peers
	ask   func(ctx context.Context, id, url string) *T

	mu   sync.Mutex
	last *round[T]
}

// round is one time that all cores are asked.
type round[T any] struct {
	began time.Time
	done  chan struct{}
	// answers are what cores have said, by id. Complete when done is closed.
	answers map[string]*T
}

// NewQuestion returns a question. ask asks the core with an id at a URL, with
// [Peers.Client] and [Peers.Context]; nil is no answer. Its context ends after a
// second. Behind the URL can be another core by now.
func NewQuestion[T any](p *Peers, ask func(ctx context.Context, id, url string) *T) *Question[T] {
	return &Question[T]{peers: p, ask: ask}
}

// Ask returns the answers of the other cores, by id. A core that does not answer
// within a second, or before ctx ends, is not among them. The answers are shared
// and must not be changed.
func (q *Question[T]) Ask(ctx context.Context, cores map[string]*ruedov1.Core) map[string]*T {
	r := q.begin(cores)
	select {
	case <-r.done:
		return r.answers
	case <-ctx.Done():
		return nil
	}
}

// begin returns the current round, or starts one.
func (q *Question[T]) begin(cores map[string]*ruedov1.Core) *round[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last != nil && time.Since(q.last.began) < fresh {
		return q.last
	}
	r := &round[T]{began: time.Now(), done: make(chan struct{}), answers: map[string]*T{}}
	p := q.peers
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		close(r.done)
		return r
	}
	q.last = r
	p.wg.Go(func() {
		defer close(r.done)
		r.answers = gather(p.ctx, p, cores, q.ask)
	})
	return r
}
