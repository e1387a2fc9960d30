// Package table is what the sections of the benchmarks have in common: the row,
// how it is kept, and the median.
package table

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
)

// Row is one figure, as it is kept and compared over time.
type Row struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Baseline string  `json:"baseline,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
}

// Median of some values, which stay in their order; 0 of none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// Ratios divides value by value: the rounds of one thing by those of another.
func Ratios(of, by []float64) []float64 {
	out := make([]float64, min(len(of), len(by)))
	for i := range out {
		out[i] = of[i] / by[i]
	}
	return out
}

// Write keeps rows in a file, as JSON lines.
func Write(path string, rows []Row) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
