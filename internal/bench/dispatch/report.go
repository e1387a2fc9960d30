package dispatch

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

var concurrencies = []int{1, 16, 64}

// baselines are what every subject is compared with.
var baselines = []string{"A1", "C1"}

// figures are what is reported of each measurement.
var figures = []struct {
	name, unit string
	of         func(result) float64
}{
	{"rps", "1/s", func(r result) float64 { return r.rps }},
	{"p50", "us", func(r result) float64 { return r.p50 }},
	{"p99", "us", func(r result) float64 { return r.p99 }},
	{"cpu", "us", func(r result) float64 { return r.cpu }},
}

// measure runs all subjects in turns, round after round.
func measure(ctx context.Context, subjects []*subject, o Options) ([]table.Row, error) {
	results := map[string][]result{}
	key := func(s string, c int) string { return fmt.Sprintf("%s/c=%d", s, c) }
	for _, s := range subjects {
		if _, err := load(ctx, s, 16, o.Slice/2); err != nil {
			return nil, err
		}
	}
	for round := range o.Rounds {
		for _, c := range concurrencies {
			for _, s := range subjects {
				r, err := load(ctx, s, c, o.Slice)
				if err != nil {
					return nil, err
				}
				results[key(s.name, c)] = append(results[key(s.name, c)], r)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.Rounds)
	}
	var rows []table.Row
	for _, c := range concurrencies {
		for _, s := range subjects {
			mine := results[key(s.name, c)]
			for _, f := range figures {
				var values []float64
				for _, r := range mine {
					values = append(values, f.of(r))
				}
				name := key(s.name, c) + "/" + f.name
				for _, b := range baselines {
					var ratios []float64
					for i, r := range mine {
						ratios = append(ratios, f.of(r)/f.of(results[key(b, c)][i]))
					}
					rows = append(rows, table.Row{Name: name, Value: table.Median(values), Unit: f.unit, Baseline: b, Ratio: table.Median(ratios)})
				}
			}
		}
	}
	return rows, nil
}

// report prints the table.
func report(rows []table.Row) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "subject\trps\tp50 us\tp99 us\tcpu us\trps/C1\tp99/C1\tcpu/C1\tcpu/A1\t")
	perSubject := len(figures) * len(baselines)
	for group := range slices.Chunk(rows, perSubject) {
		at := func(figure, baseline int) table.Row { return group[figure*len(baselines)+baseline] }
		name := at(0, 0).Name
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name[:len(name)-len("/rps")],
			at(0, 0).Value, at(1, 0).Value, at(2, 0).Value, at(3, 0).Value,
			at(0, 1).Ratio, at(2, 1).Ratio, at(3, 1).Ratio, at(3, 0).Ratio)
	}
	return w.Flush()
}
