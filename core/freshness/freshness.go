// Package freshness lets callers read what they have written, whichever core
// they ask.
//
//	gate := freshness.New(freshness.Config{Mirror: mirror})
//	handler = gate.Handler(handler)                      // of everything that reads the catalog
//	connect.WithInterceptors(gate.Interceptor())         // on everything that writes
//
// The answer to a write has the field [headers.StoreRevision]: a revision of the store
// that includes the write, with the id of the store. A request with the field
// [headers.MinRevision] is handled once the core's mirror has that revision. A core that is
// behind waits for its mirror, no longer than [MaxWait] or the deadline of the
// request, and then refuses the request with CORE_BEHIND.
//
// A request without the field costs a lookup in its header. One whose revision
// the mirror has, as almost all have, costs two atomic loads more.
//
// All methods can be called from many goroutines.
package freshness

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/internal/port"
)

const (
	// MaxWait is how long a request waits at most. The store is asked for its
	// revision once a second.
	MaxWait = 2 * time.Second
	// maxWaiting bounds the requests that wait at the same time.
	maxWaiting = 1024
)

// Mirror is a mirror.Mirror.
type Mirror interface {
	Applied() int64
	StoreID() string
	Reach(ctx context.Context, revision int64) error
}

// Config configures a Gate.
type Config struct {
	// Mirror is what requests read. Required.
	Mirror Mirror
}

// Gate holds requests until the mirror has what they require.
type Gate struct {
	mirror  Mirror
	waiting atomic.Int64
}

// New returns a Gate. It starts no goroutines.
func New(cfg Config) *Gate { return &Gate{mirror: cfg.Mirror} }

// Handler returns a handler that calls next for requests whose revision the
// mirror has, and refuses the others.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if required := r.Header[headers.MinRevision]; len(required) > 0 {
			if err := g.reach(r, required); err != nil {
				e := fault.FromError(err)
				port.Count(r.Context(), e.Reason)
				faultrpc.WriteError(w, r, e, false)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// reach returns nil when the mirror has what a request requires.
func (g *Gate) reach(r *http.Request, required []string) error {
	revision, err := parse(required, g.mirror)
	if err != nil || revision <= g.mirror.Applied() {
		return err
	}
	if g.waiting.Add(1) > maxWaiting {
		g.waiting.Add(-1)
		e := fault.New(fault.CoreBehind, "this core has not seen revision %d of the store yet, and %d requests wait for it already", revision, maxWaiting).
			With("limit", maxWaiting).WithFix("send it again, or to another core")
		e.NotStarted = true
		return e
	}
	defer g.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(r.Context(), min(MaxWait, timeout(r.Header)))
	defer cancel()
	return g.mirror.Reach(ctx, revision)
}

// Interceptor returns an interceptor that adds [headers.StoreRevision] to the answers of
// procedures that have side effects. When these answer, the mirror has what they
// have written.
func (g *Gate) Interceptor() connect.Interceptor {
	return connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			res, err := next(ctx, req)
			if err == nil && req.Spec().IdempotencyLevel != connect.IdempotencyNoSideEffects {
				res.Header().Set(headers.StoreRevision, g.written())
			}
			return res, err
		}
	})
}

func (g *Gate) written() string {
	// The id first: a revision of a store that replaces this one meanwhile would
	// otherwise get the id of this one.
	id, revision := g.mirror.StoreID(), strconv.FormatInt(g.mirror.Applied(), 10)
	if id == "" {
		return revision
	}
	return revision + "@" + id
}
