// Package scale measures what a cluster costs as it grows: how the figures of a
// core change with the number of services, of attached runners, and of cores.
//
// # Axes
//
//	services  one core with 10 to 10,000 services, each with a decorator of its
//	          own that has limits and a schema; no two schemas are equal
//	lanes     one core with 10 services and 1 to 1,000 attached runners
//	cores     1, 3 and 5 cores with a replicated store, 10 services, one runner
//	subjects  NATS with as many subjects as services, one that answers
//	members   NATS with one queue group of as many members as runners
//	nginx     nginx before one server, as a proxy
//
// Every core is a process of the program as users run it, with an embedded etcd.
// Runners are simulated: one process attaches any number of lanes and answers
// every call with its input, so that the figures are those of the core. All sizes
// of an axis run at the same time and take turns. Ratios are taken within a round,
// and the median over the rounds is reported.
//
// # Figures
//
// The processor time of a call is that of the core that gets it, or of the broker
// or proxy, without those who call and who answer. A start lasts until the core describes
// the last of its services. Memory is what is resident a moment after the start,
// code and mapped files included. A publish is visible when every core describes
// the new revision. Idle bytes are what the processes of all cores read and write
// in a second without calls, over connections and in files.
package scale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// Options of a run.
type Options struct {
	Rounds int           // how often each figure is measured
	Slice  time.Duration // how long each measurement of calls lasts
	Quick  bool          // leave out the largest sizes, and measure twice
	Part   string        // one axis; "" means all, and the peers
}

// RolePrefix begins the roles that [Serve] knows.
const RolePrefix = "scale/"

// connections is how many connections call at the same time.
const connections = 16

// bench is one run.
type bench struct {
	ctx   context.Context
	o     Options
	dir   string
	bin   string // the program
	group *process.Group
}

// axes are what is measured, in this order.
var axes = []struct {
	name string
	run  func(*bench) ([]table.Row, error)
}{
	{"services", (*bench).services},
	{"lanes", (*bench).lanes},
	{"cores", (*bench).cores},
	{"nats", (*bench).nats},
	{"nginx", (*bench).nginx},
}

// Run measures and prints tables.
func Run(ctx context.Context, o Options) (rows []table.Row, err error) {
	dir, err := os.MkdirTemp("", "ruedo-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{ctx: ctx, o: o, dir: dir, bin: filepath.Join(dir, "ruedo")}
	if o.Quick {
		b.o.Rounds = min(o.Rounds, 2)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.bin, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build ruedo: %w\n%s", err, out)
	}
	for _, axis := range axes {
		if o.Part != "" && o.Part != axis.name {
			continue
		}
		began := time.Now()
		b.group = process.NewGroup(ctx)
		more, err := axis.run(b)
		b.group.Stop()
		if err != nil {
			return rows, fmt.Errorf("%s: %w", axis.name, err)
		}
		rows = append(rows, more...)
		fmt.Fprintf(os.Stderr, "scale/%s took %s\n", axis.name, time.Since(began).Round(time.Second))
	}
	return rows, nil
}

// sizes returns the sizes of an axis, without the largest if it has to be quick.
func (b *bench) sizes(all ...int) []int {
	if b.o.Quick {
		return all[:len(all)-1]
	}
	return all
}

// pause waits.
func (b *bench) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
}

// patience bounds each wait for something that has to happen.
const patience = 30 * time.Second

// until waits until done returns true; what names it for the error.
func (b *bench) until(what string, done func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; {
		ok, err := done()
		if ok {
			return nil
		}
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("%s: not within %s", what, patience), err)
		}
		time.Sleep(time.Millisecond)
	}
}
