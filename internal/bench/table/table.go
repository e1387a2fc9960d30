// Package table is what the sections of the benchmarks share: the row, its
// storage, and the median.
package table

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
)

// Row is one figure, as it is stored and compared over time.
type Row struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Baseline string  `json:"baseline,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
}

// Median returns the median of v, which keeps its order; 0 if v is empty.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// Ratios divides the values of two slices pairwise: the rounds of one by those
// of the other.
func Ratios(of, by []float64) []float64 {
	out := make([]float64, min(len(of), len(by)))
	for i := range out {
		out[i] = of[i] / by[i]
	}
	return out
}

// Write writes rows to a file, as JSON lines.
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
