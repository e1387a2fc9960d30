// Command bench measures Ruedo against baselines, everything in one interleaved
// run, so that other load on the machine affects all alike.
//
//	make bench                      prints the tables
//	make bench BENCH_OUT=rows.json  also keeps the rows as JSON lines
//	make benchmarks                 also writes docs/benchmarks.md and the figures of the README
//	make benchmarks BENCH_FROM=rows.json  writes them from rows that were kept; nothing is measured
//	go run . -only sandbox/meter    measures one section, or one part of it
//	go run . -only scale -quick     leaves out the largest clusters
//	go run . -against ../../../old  measures the calls of another checkout beside
//
// Ratios are taken within a round, and the median over the rounds is reported.
// Absolute figures depend on the machine. Ratios are more reliable, those of
// processor time more than those of wall time.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/dispatch"
	"github.com/ruedo-dev/ruedo/internal/bench/door"
	"github.com/ruedo-dev/ruedo/internal/bench/exchange"
	"github.com/ruedo-dev/ruedo/internal/bench/loop"
	"github.com/ruedo-dev/ruedo/internal/bench/page"
	"github.com/ruedo-dev/ruedo/internal/bench/sandboxed"
	"github.com/ruedo-dev/ruedo/internal/bench/scale"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
	"github.com/ruedo-dev/ruedo/sandbox"
)

type options struct {
	role, next, only string
	against          string
	from, doc, short string
	rounds           int
	slice            time.Duration
	quick            bool
}

func main() {
	var o options
	flag.StringVar(&o.role, "role", "", "internal: what this process is to be, other than the benchmark")
	flag.StringVar(&o.next, "next", "", "internal: what that process needs to know")
	flag.StringVar(&o.only, "only", "", "dispatch, door, exchange, overload, sandbox, loop or scale; or a part of door, exchange, sandbox or scale, such as sandbox/meter")
	flag.StringVar(&o.against, "against", "", "the directory of another checkout: its binary is measured in turn with ours (dispatch, exchange)")
	flag.StringVar(&o.from, "from", "", "files of rows, separated by commas, to use instead of measuring; a row of a later file replaces that of an earlier one")
	flag.StringVar(&o.doc, "doc", "", "write the page of figures to this file")
	flag.StringVar(&o.short, "short", "", "replace the table of the most important figures in this file, such as the README")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each subject is measured")
	flag.DurationVar(&o.slice, "slice", time.Second, "how long each measurement takes; a fifth of it where processor time is measured")
	flag.BoolVar(&o.quick, "quick", false, "measure without the largest sizes, and each of the others twice (scale)")
	flag.Parse()
	if o.role == sandboxed.CompilerRole {
		os.Exit(sandbox.CompileChild(os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if part, ok := strings.CutPrefix(o.role, sandboxed.RolePrefix); ok {
		out, err := sandboxed.Serve(ctx, part, []byte(o.next))
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(out)
	}
	if strings.HasPrefix(o.role, scale.RolePrefix) {
		return scale.Serve(ctx, o.role, o.next)
	}
	if strings.HasPrefix(o.role, exchange.RolePrefix) {
		return exchange.Serve(ctx, o.role, o.next)
	}
	if o.role != "" {
		return dispatch.Serve(ctx, o.role, o.next)
	}
	if o.from != "" {
		stored, err := table.Read(strings.Split(o.from, ",")...)
		if err != nil {
			return err
		}
		return write(o, stored)
	}
	measured, err := measure(ctx, o)
	if path := os.Getenv("BENCH_OUT"); path != "" && len(measured.Rows) > 0 { // those before an error, too
		err = errors.Join(err, table.Write(path, measured))
	}
	if err != nil {
		return err
	}
	return write(o, measured)
}

// measure measures what was asked for. A section that fails does not keep the others
// from being measured.
func measure(ctx context.Context, o options) (table.Run, error) {
	run := table.Run{Machine: table.ThisMachine()}
	only, part, _ := strings.Cut(o.only, "/")
	calls := dispatch.Options{Rounds: o.rounds, Slice: o.slice, Against: o.against}
	var errs []error
	for _, section := range []struct {
		name string
		run  func() ([]table.Row, error)
	}{
		{"dispatch", func() ([]table.Row, error) { return dispatch.Run(ctx, calls) }},
		{"door", func() ([]table.Row, error) {
			return door.Run(ctx, door.Options{Rounds: o.rounds, Slice: o.slice, Part: part})
		}},
		{"exchange", func() ([]table.Row, error) {
			return exchange.Run(ctx, exchange.Options{Rounds: o.rounds, Slice: o.slice, Part: part, Against: o.against})
		}},
		{"overload", func() ([]table.Row, error) { return dispatch.Overload(ctx, calls) }},
		{"sandbox", func() ([]table.Row, error) {
			return sandboxed.Run(ctx, sandboxed.Options{Rounds: o.rounds, Slice: o.slice, Part: part})
		}},
		{"loop", func() ([]table.Row, error) { return loop.Run(ctx, o.rounds) }},
		{"scale", func() ([]table.Row, error) {
			return scale.Run(ctx, scale.Options{Rounds: o.rounds, Slice: o.slice, Quick: o.quick, Part: part})
		}},
	} {
		if only != "" && only != section.name || ctx.Err() != nil {
			continue
		}
		rows, err := section.run()
		run.Rows = append(run.Rows, rows...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", section.name, err))
		}
	}
	if len(run.Rows) == 0 && len(errs) == 0 {
		return run, errors.Join(ctx.Err(), fmt.Errorf("there is nothing called %q to measure", o.only))
	}
	return run, errors.Join(errs...)
}

// write writes the page, and the short table into another document.
func write(o options, run table.Run) error {
	if o.doc != "" {
		if err := os.WriteFile(o.doc, []byte(page.Page(run)), 0o644); err != nil {
			return err
		}
	}
	if o.short == "" {
		return nil
	}
	document, err := os.ReadFile(o.short)
	if err != nil {
		return err
	}
	text, err := page.Short(string(document), run)
	if err != nil {
		return fmt.Errorf("%s: %w", o.short, err)
	}
	return os.WriteFile(o.short, []byte(text), 0o644)
}
