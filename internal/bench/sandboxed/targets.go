package sandboxed

import "github.com/ruedo-dev/ruedo/internal/bench/table"

// targets are those of the sandbox and of metering.
var targets = []table.Target{
	{What: "pristine / shared, Go", Name: "call/go/pristine", Baseline: "call/go/shared", Limit: 1.3, Stretch: 1.1},
	{What: "pristine, metered / reused, unmetered, Go", Name: "call/go/pristine", Baseline: "call/go/warm", Limit: 1.5, Stretch: 1.2},
	{What: "pristine / shared, JavaScript", Name: "call/js/pristine", Baseline: "call/js/shared", Limit: 2.2, Stretch: 1.6},
	{What: "fresh / instantiate + init + call, Go", Name: "call/go/fresh", Baseline: "call/go/naive", Limit: 0.15, Stretch: 0.05},
	{What: "wasmtime fresh / pristine, Go", Name: "call/go/wasmtime", Baseline: "call/go/pristine", Least: true, Limit: 5, Stretch: 10},
	{What: "pristine calls on 2 workers / 1, CPU", Name: "workers/pristine/2/cpu", Baseline: "workers/pristine/1/cpu, calls/s", Least: true, Limit: 1.8, Stretch: 1.95},
	{What: "pristine calls on 2 workers / 1", Name: "workers/pristine/2/clock", Baseline: "workers/pristine/1/clock", Least: true, Limit: 1.8, Stretch: 1.95, Clock: true},
	{What: "reset at 64 MB / 2 MB, 8 dirty pages", Name: "reset/64MB", Baseline: "reset/2MB", Limit: 3, Stretch: 1.1},
	{What: "metered / native, median", Name: "meter/median", Baseline: native, Limit: 1.12, Stretch: 1.08},
	{What: "metered / native, worst", Name: "meter/worst", Baseline: native, Limit: 1.35, Stretch: 1.25},
	{What: "close on context / metered, median", Name: "meter/closing-median", Baseline: metered, Least: true, Limit: 4},
	{What: "rewrite, ms a MB", Name: "meter/all/rewrite", Baseline: "a megabyte", Limit: 6},
	{What: "compile, metered / native", Name: "meter/all/compile", Baseline: "meter/all/compile before", Limit: 1.25},
	{What: "code, metered / native, all", Name: "meter/all/code", Baseline: "meter/all/code before", Limit: 1.10},
	{What: "code, metered / native, C", Name: "meter/c/code", Baseline: "meter/c/code before", Limit: 1.45},
	{What: "code, metered / native, Go", Name: "meter/go/code", Baseline: "meter/go/code before", Limit: 1.45},
	{What: "second start / first compile", Name: "compile/second/cpu", Baseline: "compile/first/cpu", Limit: 0.08, Stretch: 0.05},
	{What: "memory of an idle instance / plain, Go", Name: "memory/pristine", Baseline: "memory/plain", Limit: 0.15, Stretch: 0.06},
	{What: "p99 beside 1 burner / idle", Name: "neighbour/p99/metered/1", Baseline: "neighbour/p99/metered/0", Limit: 3, Stretch: 2, Clock: true},
	{What: "p99 beside 4 burners / idle", Name: "neighbour/p99/metered/4", Baseline: "neighbour/p99/metered/0", Limit: 2, Clock: true},
	{What: "p99 beside 1 burner, plain / metered", Name: "neighbour/p99/native/1", Baseline: "neighbour/p99/metered/1", Least: true, Limit: 100, Clock: true},
	{What: "p99 past the deadline, 4 loopers, ms", Name: "kill/p99/metered", Baseline: "kill/p99/metered", Value: true, Limit: 5, Clock: true},
}
