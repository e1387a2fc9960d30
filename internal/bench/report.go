package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
)

var concurrencies = []int{1, 16, 64}

// row is one figure, as it is kept and compared over time.
type row struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Baseline string  `json:"baseline,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
}

// baselines are what every subject is set against.
var baselines = []string{"A1", "C1"}

// figures are what is told of each measurement.
var figures = []struct {
	name, unit string
	of         func(result) float64
}{
	{"rps", "1/s", func(r result) float64 { return r.rps }},
	{"p50", "us", func(r result) float64 { return r.p50 }},
	{"p99", "us", func(r result) float64 { return r.p99 }},
	{"cpu", "us", func(r result) float64 { return r.cpu }},
}

// measure runs all subjects in turn, round after round.
func measure(ctx context.Context, subjects []*subject, o options) ([]row, error) {
	results := map[string][]result{}
	key := func(s string, c int) string { return fmt.Sprintf("%s/c=%d", s, c) }
	for _, s := range subjects {
		if _, err := load(ctx, s, 16, o.slice/2); err != nil {
			return nil, err
		}
	}
	for round := range o.rounds {
		for _, c := range concurrencies {
			for _, s := range subjects {
				r, err := load(ctx, s, c, o.slice)
				if err != nil {
					return nil, err
				}
				results[key(s.name, c)] = append(results[key(s.name, c)], r)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
	}
	var rows []row
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
					rows = append(rows, row{name, median(values), f.unit, b, median(ratios)})
				}
			}
		}
	}
	return rows, nil
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// report prints the table and keeps the rows where path names a file.
func report(rows []row, path string) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "subject\trps\tp50 us\tp99 us\tcpu us\trps/C1\tp99/C1\tcpu/C1\tcpu/A1\t")
	perSubject := len(figures) * len(baselines)
	for group := range slices.Chunk(rows, perSubject) {
		at := func(figure, baseline int) row { return group[figure*len(baselines)+baseline] }
		name := at(0, 0).Name
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name[:len(name)-len("/rps")],
			at(0, 0).Value, at(1, 0).Value, at(2, 0).Value, at(3, 0).Value,
			at(0, 1).Ratio, at(2, 1).Ratio, at(3, 1).Ratio, at(3, 0).Ratio)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if path == "" {
		return nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
