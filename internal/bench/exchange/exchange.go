// Package exchange measures requests to a service of kind http.
//
// # Subjects
//
//	net-http two hops: httputil.ReverseProxy in front of the handler, each in a
//	         process of its own, served by net/http
//	ruedo    two hops: ruedo server and ruedo runner, the same handler as a
//	         service, whose every request begins with clean memory
//	workerd  two hops: the same proxy in front of workerd with a handler in
//	         JavaScript, if it is installed
//
// The handler is that of package site. Each request of HTTP/1.1 takes the proxy's
// protocol 1.1, and each of HTTP/2 takes its HTTP/2. The subjects take turns, and
// ratios to net-http are taken within a round.
//
// With another checkout to compare with, calls of a function are measured, too,
// in turn with the other's: they must not pay for exchanges.
package exchange

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/cluster"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// Options of a run.
type Options struct {
	Rounds int           // how often each subject is measured
	Slice  time.Duration // three fifths of it are how long a measurement lasts
	Part   string        // the one scenario to measure; "" means everything
	// Against is the directory of another checkout to compare calls with; "" means
	// none.
	Against string
}

// subject is what answers requests.
type subject struct {
	name      string
	url       string // of the handler, without a slash at its end
	processes []*process.Process
	// plain is set if it has only what every server of HTTP has: no Connect, no
	// gRPC, no HTTP/2.
	plain bool
}

const (
	native = "net-http"
	ours   = "ruedo"
	before = "before"
)

// Run measures and prints a table.
func Run(ctx context.Context, o Options) (_ []table.Row, err error) {
	dir, err := os.MkdirTemp("", "ruedo-bench-")
	if err != nil {
		return nil, err
	}
	g := process.NewGroup(ctx)
	defer func() {
		g.Stop()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	b := &bench{ctx: ctx, o: o, figures: make(map[string][]float64)}
	c, err := start(ctx, g, "../..", filepath.Join(dir, "here"))
	if err != nil {
		return nil, err
	}
	if err := c.PublishDir("guests/exchange"); err != nil {
		return nil, err
	}
	two, err := twoHops(g)
	if err != nil {
		return nil, err
	}
	b.subjects = []*subject{two, {name: ours, url: c.URL + "/svc/site", processes: c.Processes}}
	if w, err := workerd(ctx, g, dir); err != nil {
		return nil, err
	} else if w != nil {
		b.subjects = append(b.subjects, w)
	}
	if o.Against != "" {
		theirs, err := start(ctx, g, o.Against, filepath.Join(dir, "there"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Against, err)
		}
		b.functions = []*subject{{name: ours, url: c.URL, processes: c.Processes}, {name: before, url: theirs.URL, processes: theirs.Processes}}
	}
	if err := b.measure(); err != nil {
		return nil, err
	}
	rows := b.rows()
	return rows, report(rows)
}

// start starts the cluster of a checkout, with a function in it.
func start(ctx context.Context, g *process.Group, root, dir string) (*cluster.Cluster, error) {
	c, err := cluster.Start(ctx, g, root, dir)
	if err != nil {
		return nil, err
	}
	return c, c.Publish("echo", ruedotest.Echo())
}
