// Package door measures the front door: what it costs that callers say who they are
// and may do only so much, that connections have TLS, and that changes are recorded.
//
// # Parts
//
//	authorize   who a request is of, and whether it may call a service
//	calls       echo without logins, with them, with a token and over TLS
//	connections the same, each call over a connection of its own
//	publish     a publish, with its record in the audit and without
//	writes      its transaction alone, also of several at the same time
//	logins      calls next to a hundred attempts to log in a second, and next to as many other requests
//
// Subjects take turns. Ratios are taken within a round, and the median over the rounds
// is reported.
package door

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/cluster"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// Options of a run.
type Options struct {
	Rounds int           // how often each figure is measured
	Slice  time.Duration // how long a measurement lasts; a fifth of it where this process is measured
	Part   string        // the only part to measure; "" means all
}

// targets are what the front door may cost.
var targets = []table.Target{
	{What: "authorizing a call, us", Name: "door/authorize/token/cpu", Baseline: "none", Value: true, Limit: 2},
	{What: "echo with a token / without logins, 1 connection, CPU", Name: "door/calls/token/c=1/cpu", Baseline: "none", Limit: 1.03},
	{What: "echo with a token / without logins, 16 connections, CPU", Name: "door/calls/token/c=16/cpu", Baseline: "none", Limit: 1.03},
	{What: "echo with a token through TLS / without both, 1 connection, CPU", Name: "door/calls/tls/c=1/cpu", Baseline: "none", Limit: 1.35},
	{What: "echo with a token through TLS / without both, 16 connections, CPU", Name: "door/calls/tls/c=16/cpu", Baseline: "none", Limit: 1.35},
	{What: "a publish, recorded / not, CPU", Name: "door/publish/recorded/c=1/cpu", Baseline: unrecorded, Limit: 1.05},
	{What: "a publish, recorded / not, p50", Name: "door/publish/recorded/c=1/p50", Baseline: unrecorded, Limit: 1.05, Clock: true},
	{What: "p99 of a call next to 100 logins a second / next to nothing", Name: "door/logins/100/p99", Baseline: "no logins", Limit: 1.2, Clock: true},
	{What: "the same / next to as many requests without a password", Name: "door/logins/100/p99", Baseline: "as many requests", Limit: 1.2, Clock: true},
	{What: "p99 of a call next to 100 logins a second from ever new addresses / as many requests", Name: "door/logins/100-addresses/p99", Baseline: "as many requests", Limit: 1.2, Clock: true},
}

// bench is one run.
type bench struct {
	Options
	ctx   context.Context
	dir   string // removed when the run ends
	group *process.Group
	bin   string // the program, once it is needed
	rows  []table.Row
	// loads are the load averages when each part began.
	loads map[string]string
	// sites are the clusters that have been started.
	sites map[string]*site
}

// Run measures and prints the rows, and compares them with the targets.
func Run(ctx context.Context, o Options) (_ []table.Row, err error) {
	dir, err := os.MkdirTemp("", "ruedo-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{Options: o, ctx: ctx, dir: dir, group: process.NewGroup(ctx), loads: map[string]string{}, sites: map[string]*site{}}
	defer func() {
		b.group.Stop()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"authorize", b.authorize},
		{"publish", b.publish},
		{"writes", b.writes},
		{"calls", b.calls},
		{"connections", b.connections},
		{"logins", b.logins},
	} {
		if o.Part != "" && o.Part != part.name {
			continue
		}
		b.loads[part.name] = table.Load()
		fmt.Fprintf(os.Stderr, "door: %s, at a load of %s\n", part.name, b.loads[part.name])
		if err := part.run(); err != nil {
			return b.rows, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return b.rows, b.report()
}

// report prints the rows, followed by the targets.
func (b *bench) report() error {
	fmt.Println()
	if err := table.Print(os.Stdout, b.rows); err != nil {
		return err
	}
	return table.Judge(os.Stdout, b.rows, targets, func(row string) string { return b.loads[strings.Split(row, "/")[1]] })
}

// add adds the median of a figure. With a baseline, the row has the ratio to it.
func (b *bench) add(name, unit string, values []float64, baseline string, by []float64) {
	row := table.Row{Name: name, Value: table.Median(values), Unit: unit}
	if len(by) > 0 {
		row.Baseline, row.Ratio = baseline, table.Median(table.Ratios(values, by))
	}
	b.rows = append(b.rows, row)
}

// turns returns the subjects in the order of a round: none always follows the same one.
func turns[T any](of []T, round int) []T {
	first := round / 2 % len(of)
	order := slices.Concat(of[first:], of[:first])
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

// The clusters.
const (
	none   = "none"   // has no logins
	logins = "logins" // has them
	secure = "tls"    // has them, and TLS
)

// open returns the cluster of a name. It starts it, if nobody has needed it yet.
func (b *bench) open(name string) (*site, error) {
	if s := b.sites[name]; s != nil {
		return s, nil
	}
	var err error
	if b.bin == "" {
		if b.bin, err = cluster.Build(b.ctx, "../..", b.dir); err != nil {
			return nil, err
		}
	}
	c, err := cluster.Open(b.ctx, b.group, cluster.Options{Bin: b.bin, Dir: filepath.Join(b.dir, name), Logins: name != none, TLS: name == secure})
	if err != nil {
		return nil, err
	}
	s, err := furnish(b.ctx, c, name)
	if err == nil {
		b.sites[name] = s
	}
	return s, err
}
