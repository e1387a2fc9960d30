package page

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

var run = table.Run{
	Machine: table.Machine{Date: "2026-01-02", CPUs: 2, Model: "CPU X", System: "linux/amd64 6.8", Go: "go1.26.0", Load: "0.10"},
	Rows: []table.Row{
		{Name: "A1/c=64/rps", Value: 69653, Unit: "1/s", Baseline: "A1", Ratio: 1},
		{Name: "A1/c=64/rps", Value: 69653, Unit: "1/s", Baseline: "C1", Ratio: 4.76},
		{Name: "A1/c=64/rps", Value: 69653, Unit: "1/s"},
		{Name: "echo/c=64/rps", Value: 32266, Unit: "1/s", Baseline: "C1", Ratio: 2.081},
		{Name: "echo/c=64/cpu", Value: 43.3, Unit: "us", Baseline: "A1", Ratio: 2.98},
		{Name: "exchange/get/c=16/net-http/p50", Value: 1200, Unit: "us"},
		{Name: "exchange/get/c=16/net-http/cpu", Value: 150, Unit: "us"},
		{Name: "exchange/get/c=16/ruedo/p50", Value: 1500, Unit: "us", Baseline: "exchange/get/c=16/net-http/p50", Ratio: 1.25},
		{Name: "exchange/paced/c=1/net-http/first", Value: 400, Unit: "us"},
		{Name: "exchange/paced/c=1/ruedo/first", Value: 500, Unit: "us", Baseline: "exchange/paced/c=1/net-http/first", Ratio: 1.3},
		{Name: "exchange/copy/net-http/clock", Value: 90, Unit: "ms"},
		{Name: "exchange/copy/ruedo/clock", Value: 180, Unit: "ms", Baseline: "exchange/copy/net-http/clock", Ratio: 2.1},
		{Name: "exchange/open/ruedo/memory", Value: 600, Unit: "KiB", Baseline: "exchange/open/net-http/memory", Ratio: 12},
		{Name: "exchange/open/ruedo/threads", Value: 21},
		{Name: "door/authorize/none/cpu", Value: 0.05, Unit: "cpu us", Baseline: "none", Ratio: 1},
		{Name: "door/authorize/none/allocations", Value: 0},
		{Name: "door/authorize/token/cpu", Value: 0.5, Unit: "cpu us", Baseline: "none", Ratio: 10},
		{Name: "door/authorize/token/allocations", Value: 1},
		{Name: "door/calls/token/c=16/cpu", Value: 102, Unit: "cpu us", Baseline: "none", Ratio: 1.02},
		{Name: "door/calls/tls/c=16/cpu", Value: 110, Unit: "cpu us", Baseline: "none", Ratio: 1.1},
		{Name: "door/calls/tls/c=16/cpu", Value: 110, Unit: "cpu us", Baseline: "token", Ratio: 1.08},
		{Name: "door/calls/token/c=16/p50", Value: 1500, Unit: "us", Baseline: "none", Ratio: 1.01},
		{Name: "door/calls/tls/c=16/p50", Value: 1600, Unit: "us", Baseline: "none", Ratio: 1.07},
		{Name: "door/publish/recorded/c=1/p50", Value: 2000, Unit: "us", Baseline: "unrecorded", Ratio: 1.01},
		{Name: "door/logins/0/p50", Value: 500, Unit: "us", Baseline: "no logins", Ratio: 1},
		{Name: "door/logins/100/p50", Value: 510, Unit: "us", Baseline: "no logins", Ratio: 1.02},
		{Name: "door/logins/100/p99", Value: 1100, Unit: "us", Baseline: "no logins", Ratio: 1.1},
		{Name: "door/logins/100/p99", Value: 1100, Unit: "us", Baseline: "as many requests", Ratio: 1.05},
		{Name: "door/logins/100/refused", Value: 70, Unit: "1/s"},
		{Name: "call/go/pristine", Value: 9.7, Unit: "cpu us", Baseline: "call/go/warm", Ratio: 1.4},
		{Name: "call/go/pristine", Value: 9.7, Unit: "cpu us", Baseline: "call/go/shared", Ratio: 1.06},
		{Name: "call/go/command", Value: 1179, Unit: "cpu us", Baseline: "call/go/warm", Ratio: 176},
		{Name: "meter/c/rewrite", Value: 1, Unit: "ms", Baseline: "a megabyte", Ratio: 5.5},
		{Name: "meter/c.fib/metered", Value: 9, Unit: "cpu us", Baseline: "meter/c.fib/native", Ratio: 1.19},
		{Name: "meter/median", Value: 1.09, Unit: "times", Baseline: "native", Ratio: 1.09},
		{Name: "meter/closing-median", Value: 7.2, Unit: "times", Baseline: "metered", Ratio: 7.2},
		{Name: "reset/2MB", Value: 1.82, Unit: "cpu us", Baseline: "reset/2MB", Ratio: 1},
		{Name: "reset/64MB", Value: 1.7, Unit: "cpu us", Baseline: "reset/2MB", Ratio: 1.1},
		{Name: "reset/copy-64MB", Value: 60223, Unit: "cpu us", Baseline: "reset/64MB", Ratio: 36605},
		{Name: "loop/text", Value: 600, Unit: "ms", Baseline: "loop/build", Ratio: 1.14},
		{Name: "loop/code", Value: 1650, Unit: "ms", Baseline: "loop/build", Ratio: 3.14},
		{Name: "loop/code", Value: 1650, Unit: "ms", Baseline: "loop/floor", Ratio: 1.18},
		{Name: "loop/build", Value: 525, Unit: "ms", Baseline: "loop/build", Ratio: 1},
		{Name: "loop/floor", Value: 1400, Unit: "ms", Baseline: "loop/build", Ratio: 2.67},
		{Name: "scale/services/10/call", Value: 20, Unit: "cpu us", Baseline: "scale/services/10/call", Ratio: 1},
		{Name: "scale/services/10000/call", Value: 21, Unit: "cpu us", Baseline: "scale/services/10/call", Ratio: 1.05},
		{Name: "scale/shape/services.call", Value: 0.0001, Unit: "cpu us", Baseline: "scale/services", Ratio: 1.05, Text: "flat within 1.1"},
		{Name: "scale/services/10/memory", Value: 60, Unit: "MB", Baseline: "scale/services/10/memory", Ratio: 1},
		{Name: "scale/services/10000/memory", Value: 140, Unit: "MB", Baseline: "scale/services/10/memory", Ratio: 2.333},
		{Name: "scale/shape/services.memory", Value: 0.008, Unit: "MB", Baseline: "scale/services", Ratio: 2.333, Text: "60 MB, and 8 KB for each service"},
		{Name: "memory/pristine", Value: 258, Unit: "KiB", Baseline: "memory/plain", Ratio: 0.0585},
		{Name: "neighbour/p99/metered/1", Value: 90, Unit: "us", Baseline: "neighbour/p99/metered/0", Ratio: 1.9},
	},
}

const five = `| measured | ratio |
|---|--:|
| Calls per second with 64 connections, to a plain Connect proxy in front of a Connect echo (as many hops, no sandbox) | 2.08 |
| Processor time of a call that starts from clean memory, to a call that finds what others left (Go) | 1.06 |
| Processor time of a guest that can be stopped at any time, to one that nothing can stop (median load) | 1.09 |
| p99 of a trivial call next to a guest that burns its processor, to the same in a quiet process | 1.90 |
| Memory of an idle instance of a Go service, to an instance of plain wazero | 0.0585 |
`

func TestThePageHasATableForEachSection(t *testing.T) {
	got := Page(run)
	for _, want := range []string{
		"# Benchmarks\n",
		"\nMeasured on 2026-01-02: 2 CPUs (CPU X), linux/amd64 6.8, go1.26.0, at a load of 0.10 when the run began.\n",
		"\n## In short\n\n" + five,
		"```console\n$ cd internal/bench && go run . -only dispatch\n```\n\nEach subject, compared with C1 and A1 at the same number of connections:\n\n" + `| subject, connections | calls/s | p50 µs | p99 µs | CPU µs | calls/s ÷ C1 | p99 ÷ C1 | CPU ÷ C1 | CPU ÷ A1 |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
| A1, 64 | 69,653 | | | | 4.76 | | | |
| echo, 64 | 32,266 | | | 43.3 | 2.08 | | | 2.98 |

`,
		"go run . -only door\n```\n\nAuthorizing a call:\n\n" + `| request | CPU µs | allocations | CPU ÷ none |
|---|--:|--:|--:|
| none | 0.05 | 0 | 1.00 |
| token | 0.50 | 1.00 | 10.0 |

Calls:

| call, connections | p50 µs | p99 µs | CPU µs | p50 ÷ none | CPU ÷ none | p50 ÷ token | CPU ÷ token |
|---|--:|--:|--:|--:|--:|--:|--:|
| token, 16 | 1,500 | | 102 | 1.01 | 1.02 | | |
| tls, 16 | 1,600 | | 110 | 1.07 | 1.10 | | 1.08 |

A publish:

| publish, at a time | p50 µs | CPU µs | p50 ÷ unrecorded | CPU ÷ unrecorded |
|---|--:|--:|--:|--:|
| recorded, 1 | 2,000 | | 1.01 | |

Calls next to logins:

| logins in a second | p50 µs | p99 µs | p50 ÷ without | p99 ÷ without | p99 ÷ hello | wrong passwords in a second | refused in a second |
|---|--:|--:|--:|--:|--:|--:|--:|
| 0 | 500 | | 1.00 | | | | |
| 100 | 510 | 1,100 | 1.02 | 1.10 | 1.05 | | 70.0 |

`,
		"go run . -only exchange\n```\n\np50 of an exchange, compared with net/http at the same number of connections:\n\n" + `| exchange, connections | net/http, µs | Ruedo, µs | workerd, µs | Ruedo ÷ net/http | workerd ÷ net/http |
|---|--:|--:|--:|--:|--:|
| get, 16 | 1,200 | 1,500 | | 1.25 | |

p50 of the time until the first byte of the answer:

| exchange, connections | net/http, µs | Ruedo, µs | Ruedo ÷ net/http |
|---|--:|--:|--:|
| paced, 1 | 400 | 500 | 1.30 |

Processor time of an exchange:

| exchange, connections | net/http, µs | Ruedo, µs | workerd, µs | Ruedo ÷ net/http | workerd ÷ net/http |
|---|--:|--:|--:|--:|--:|
| get, 16 | 150 | | | | |
`,
		"| net/http | 90.0 | | | |\n| Ruedo | 180 | | 2.10 | |\n",
		"| Ruedo | 600 | 21.0 | | | 12.0 | |\n",
		"| Go | 9.70 | | | 1,179 | | | | | | |\n",
		"| load | metered ÷ native | closing ÷ metered |\n|---|--:|--:|\n| median | 1.09 | 7.20 |\n\n",
		"| c.fib | 9.00 | | 1.19 | |\n",
		"| C | 5.50 | | |\n",
		"| 64 MB | 60,223 | 1.70 | 1.10 | 36,605 |\n",
		"go run . -only scale\n```\n\nOne core, by number of services:\n\n" + `| services | call, CPU µs | call ÷ 10 | alone, CPU µs | alone ÷ 10 | start, ms | memory, MB | publish, ms | idle, KB/s |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
| 10 | 20.0 | 1.00 | | | | 60.0 | | |
| 10,000 | 21.0 | 1.05 | | | | 140 | | |

The shape of these curves:

| figure | largest ÷ smallest | shape |
|---|--:|--:|
| a call | 1.05 | flat within 1.1 |
| memory | 2.33 | 60 MB, and 8 KB for each service |
`,
		"go run . -only loop\n```\n\nEach, compared with the build, and the edit of code with the floor:\n\n| what | ms | ÷ build | ÷ floor |\n|---|--:|--:|--:|\n| edit of a text to live | 600 | 1.14 | |\n| edit of code to live | 1,650 | 3.14 | 1.18 |\n| go build alone | 525 | 1.00 | |\n| go build, then wazero alone | 1,400 | 2.67 | |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not contain\n%s", want)
		}
	}
	for _, what := range []string{"## Two workers", "before", "\n\n\n"} { // not measured
		if strings.Contains(got, what) {
			t.Errorf("the page contains %q", what)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestAComparisonWithAnotherCheckoutIsATableOfItsOwn(t *testing.T) {
	got := Page(table.Run{Rows: []table.Row{
		{Name: "A1/c=1/rps", Value: 2}, {Name: "echo/c=1/rps", Value: 1}, {Name: "echo/c=1/rps", Value: 1, Baseline: "before", Ratio: 1.02},
		{Name: "exchange/function/c=16/ruedo/p50", Value: 1600, Baseline: "exchange/function/c=16/before/p50", Ratio: 0.99},
		{Name: "exchange/function/c=16/before/p50", Value: 1610},
	}})
	for _, want := range []string{
		"| calls/s ÷ before | p50 ÷ before | p99 ÷ before | CPU ÷ before |\n|---|--:|--:|--:|--:|\n| echo, 1 | 1.02 | | | |\n",
		"| p50 ÷ before | CPU ÷ before |\n|---|--:|--:|--:|--:|\n| 16 | 1,600 | | 0.99 | |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not contain\n%s\n%s", want, got)
		}
	}
}

func TestTheShortTableReplacesTheOneInADocument(t *testing.T) {
	got, err := Short("a\n"+begin+"old\n"+end+"z\n", run)
	if want := "a\n" + begin + five + end + "z\n"; err != nil || got != want {
		t.Errorf("got %v:\n%s\nwant\n%s", err, got, want)
	}
	if _, err := Short("a\n", run); err == nil {
		t.Error("a document without a place for the table is accepted")
	}
	if _, err := Short(begin+end, table.Run{}); err == nil {
		t.Error("a run without the figures is accepted")
	}
}

func TestRowsAreKept(t *testing.T) {
	first, second := filepath.Join(t.TempDir(), "1"), filepath.Join(t.TempDir(), "2")
	if err := table.Write(first, run); err != nil {
		t.Fatal(err)
	}
	if got, err := table.Read(first); err != nil || !reflect.DeepEqual(got, run) {
		t.Errorf("got %v, %+v", err, got)
	}
	again := run.Rows[1]
	again.Ratio = 5
	if err := table.Write(second, table.Run{Machine: run.Machine, Rows: []table.Row{again}}); err != nil {
		t.Fatal(err)
	}
	got, err := table.Read(first, second)
	if err != nil || len(got.Rows) != len(run.Rows) || got.Rows[1] != again || got.Rows[0] != run.Rows[0] {
		t.Errorf("got %v, %+v", err, got)
	}
}

func TestTheMedianOfAnEvenNumberIsBetweenTheTwoInTheMiddle(t *testing.T) {
	for want, v := range map[float64][]float64{0: nil, 3: {5, 1, 3}, 2: {4, 1, 3, 1}, 1.5: {2, 1}} {
		if got := table.Median(v); got != want {
			t.Errorf("the median of %v is %v, want %v", v, got, want)
		}
	}
}
