package dispatch

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/ruedo-dev/ruedo/internal/bench/load"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

var concurrencies = []int{1, 16, 64}

// figures are what is reported of each measurement.
var figures = []figure{
	{"rps", "1/s", func(r load.Result) float64 { return r.RPS }},
	{"p50", "us", func(r load.Result) float64 { return r.P50 }},
	{"p99", "us", func(r load.Result) float64 { return r.P99 }},
	{"cpu", "us", func(r load.Result) float64 { return r.CPU }},
}

type figure struct {
	name, unit string
	of         func(load.Result) float64
}

func (f figure) all(results []load.Result) []float64 {
	var values []float64
	for _, r := range results {
		values = append(values, f.of(r))
	}
	return values
}

// baselines are what every subject is compared with. The last is the same
// subject of another checkout, which not every run has.
var baselines = []string{"A1", "C1", before}

const before = "before"

// measure runs all subjects in turns, round after round.
func measure(ctx context.Context, subjects []*subject, o Options) ([]table.Row, error) {
	results := map[string][]load.Result{}
	take := func(s *subject, key string, c int) error {
		r, err := load.Run(ctx, &s.Target, c, o.Slice)
		if err == nil {
			results[key] = append(results[key], r)
		}
		return err
	}
	for _, s := range subjects {
		for ; s != nil; s = s.before {
			if _, err := load.Run(ctx, &s.Target, 16, o.Slice/2); err != nil {
				return nil, err
			}
		}
	}
	for round := range o.Rounds {
		for _, c := range concurrencies {
			for _, s := range subjects {
				turns := []func() error{func() error { return take(s, key(s.Name, c), c) }}
				if s.before != nil {
					turns = append(turns, func() error { return take(s.before, key(s.Name, c)+before, c) })
				}
				if round%2 == 1 { // neither always follows the other
					slices.Reverse(turns)
				}
				for _, turn := range turns {
					if err := turn(); err != nil {
						return nil, err
					}
				}
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.Rounds)
	}
	var rows []table.Row
	for _, c := range concurrencies {
		for _, s := range subjects {
			rows = append(rows, compare(results, s.Name, c)...)
		}
	}
	return rows, nil
}

func key(subject string, concurrency int) string {
	return fmt.Sprintf("%s/c=%d", subject, concurrency)
}

// compare returns the figures of a subject, each beside every baseline. A
// baseline that was not measured leaves its rows without one.
func compare(results map[string][]load.Result, subject string, concurrency int) []table.Row {
	mine := results[key(subject, concurrency)]
	var rows []table.Row
	for _, f := range figures {
		values := f.all(mine)
		for _, b := range baselines {
			row := table.Row{Name: key(subject, concurrency) + "/" + f.name, Value: table.Median(values), Unit: f.unit}
			theirs := results[key(b, concurrency)]
			if b == before {
				theirs = results[key(subject, concurrency)+before]
			}
			if len(theirs) > 0 {
				row.Baseline, row.Ratio = b, table.Median(table.Ratios(values, f.all(theirs)))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// report prints the table.
func report(rows []table.Row, compared bool) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "subject\trps\tp50 us\tp99 us\tcpu us\trps/C1\tp99/C1\tcpu/C1\tcpu/A1\t")
	if compared {
		fmt.Fprint(w, "rps/before\tp50/before\tp99/before\tcpu/before\t")
	}
	fmt.Fprintln(w)
	perSubject := len(figures) * len(baselines)
	for group := range slices.Chunk(rows, perSubject) {
		at := func(figure, baseline int) table.Row { return group[figure*len(baselines)+baseline] }
		name := at(0, 0).Name
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t", name[:len(name)-len("/rps")],
			at(0, 0).Value, at(1, 0).Value, at(2, 0).Value, at(3, 0).Value,
			at(0, 1).Ratio, at(2, 1).Ratio, at(3, 1).Ratio, at(3, 0).Ratio)
		if compared && at(0, 2).Ratio > 0 {
			fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t%.2f\t", at(0, 2).Ratio, at(1, 2).Ratio, at(2, 2).Ratio, at(3, 2).Ratio)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
