package sandboxed

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// target is what a row must reach.
type target struct {
	what           string
	name, baseline string // of the row
	value          bool   // compares its value, not its ratio
	least          bool   // more is better
	limit, stretch float64
	clock          bool // wall time: needs an idle machine
}

// targets are those of the sandbox and of metering; stretch is 0 if there is no
// stretch target.
var targets = []target{
	{what: "pristine / shared, Go", name: "call/go/pristine", baseline: "call/go/shared", limit: 1.3, stretch: 1.1},
	{what: "pristine, metered / reused, unmetered, Go", name: "call/go/pristine", baseline: "call/go/warm", limit: 1.5, stretch: 1.2},
	{what: "pristine / shared, JavaScript", name: "call/js/pristine", baseline: "call/js/shared", limit: 2.2, stretch: 1.6},
	{what: "fresh / instantiate + init + call, Go", name: "call/go/fresh", baseline: "call/go/naive", limit: 0.15, stretch: 0.05},
	{what: "wasmtime fresh / pristine, Go", name: "call/go/wasmtime", baseline: "call/go/pristine", least: true, limit: 5, stretch: 10},
	{what: "pristine calls on 2 workers / 1, CPU", name: "workers/pristine/2/cpu", baseline: "workers/pristine/1/cpu, calls/s", least: true, limit: 1.8, stretch: 1.95},
	{what: "pristine calls on 2 workers / 1", name: "workers/pristine/2/clock", baseline: "workers/pristine/1/clock", least: true, limit: 1.8, stretch: 1.95, clock: true},
	{what: "reset at 64 MB / 2 MB, 8 dirty pages", name: "reset/64MB", baseline: "reset/2MB", limit: 3, stretch: 1.1},
	{what: "metered / native, median", name: "meter/median", baseline: native, limit: 1.12, stretch: 1.08},
	{what: "metered / native, worst", name: "meter/worst", baseline: native, limit: 1.35, stretch: 1.25},
	{what: "close on context / metered, median", name: "meter/closing-median", baseline: metered, least: true, limit: 4},
	{what: "rewrite, ms a MB", name: "meter/all/rewrite", baseline: "a megabyte", limit: 6},
	{what: "compile, metered / native", name: "meter/all/compile", baseline: "meter/all/compile before", limit: 1.25},
	{what: "code, metered / native, all", name: "meter/all/code", baseline: "meter/all/code before", limit: 1.10},
	{what: "code, metered / native, C", name: "meter/c/code", baseline: "meter/c/code before", limit: 1.45},
	{what: "code, metered / native, Go", name: "meter/go/code", baseline: "meter/go/code before", limit: 1.45},
	{what: "second start / first compile", name: "compile/second/cpu", baseline: "compile/first/cpu", limit: 0.08, stretch: 0.05},
	{what: "memory of an idle instance / plain, Go", name: "memory/pristine", baseline: "memory/plain", limit: 0.15, stretch: 0.06},
	{what: "p99 beside 1 burner / idle", name: "neighbour/p99/metered/1", baseline: "neighbour/p99/metered/0", limit: 3, stretch: 2, clock: true},
	{what: "p99 beside 4 burners / idle", name: "neighbour/p99/metered/4", baseline: "neighbour/p99/metered/0", limit: 2, clock: true},
	{what: "p99 beside 1 burner, plain / metered", name: "neighbour/p99/native/1", baseline: "neighbour/p99/metered/1", least: true, limit: 100, clock: true},
	{what: "p99 past the deadline, 4 loopers, ms", name: "kill/p99/metered", baseline: "kill/p99/metered", value: true, limit: 5, clock: true},
}

// judge compares the rows that were measured with the targets. Wall time
// suffers from everything else that runs on the machine.
func (b *bench) judge(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\ntarget\tlimit\tstretch\tmeasured\t\t")
	for _, t := range targets {
		for _, r := range b.rows {
			if r.Name != t.name || r.Baseline != t.baseline {
				continue
			}
			got := r.Ratio
			if t.value {
				got = r.Value
			}
			sign, by, stretch := "<=", "", ""
			if t.least {
				sign = ">="
			}
			if t.clock {
				part, _, _ := strings.Cut(t.name, "/")
				by = "the clock, at a load of " + b.loads[part]
			}
			if t.stretch != 0 {
				stretch = table.Number(t.stretch)
			}
			fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%s\t%s\n", t.what, sign, table.Number(t.limit), stretch, table.Number(got), t.verdict(got), by)
			break
		}
	}
	return w.Flush()
}

func (t target) verdict(got float64) string {
	reaches := func(limit float64) bool {
		if t.least {
			return got >= limit
		}
		return got <= limit
	}
	switch {
	case t.stretch != 0 && reaches(t.stretch):
		return "met, and the stretch"
	case reaches(t.limit):
		return "met"
	}
	return "MISSED"
}
