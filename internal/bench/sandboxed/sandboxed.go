// Package sandboxed measures what clean memory, metering and limits cost, each
// compared with what is possible without them, and with peers.
//
// Each part has a file of its own, named after it. Whatever allows it is
// measured as processor time, in rounds in which all contenders take turns.
// Waiting can only be measured as wall time, and needs an idle machine.
package sandboxed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/guests"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// Options of a run.
type Options struct {
	Rounds int
	// Slice is how long a measurement of wall time lasts; one of processor time
	// lasts a fifth of it.
	Slice time.Duration
	// Part is the only part to measure; "" means all.
	Part string
}

// bench is one run.
type bench struct {
	Options
	ctx  context.Context
	dir  string // removed when the run ends
	rows []table.Row
	// loads are the load averages when each part began.
	loads map[string]string
}

// Run measures and prints the rows, and compares them with the targets.
func Run(ctx context.Context, o Options) (_ []table.Row, err error) {
	dir, err := os.MkdirTemp("", "ruedo-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{Options: o, ctx: ctx, dir: dir, loads: map[string]string{}}
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"calls", b.calls},
		{"workers", b.workers},
		{"reset", b.reset},
		{"meter", b.meter},
		{"compile", b.compile},
		{"memory", b.memory},
		{"neighbour", b.neighbour},
		{"kill", b.kill},
	} {
		if o.Part != "" && o.Part != part.name {
			continue
		}
		b.loads[part.name] = table.Load()
		fmt.Fprintf(os.Stderr, "sandbox: %s, at a load of %s\n", part.name, b.loads[part.name])
		if err := part.run(); err != nil {
			return b.rows, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return b.rows, b.report()
}

func (b *bench) row(name string, value float64, unit, baseline string, ratio float64) {
	b.rows = append(b.rows, table.Row{Name: name, Value: value, Unit: unit, Baseline: baseline, Ratio: ratio})
}

// goGuest builds a Go guest once; it also returns its file.
func (b *bench) goGuest(name string) (wasm []byte, path string, err error) {
	path = filepath.Join(b.dir, name+".wasm")
	if wasm, err = os.ReadFile(path); err == nil {
		return wasm, path, nil
	}
	wasm, err = guests.Build(b.ctx, b.dir, name)
	return wasm, path, err
}
