// Package table is what the sections of the benchmarks share: the row, its
// storage, the machine, and the median.
package table

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Text     string  `json:"text,omitempty"` // what the figure means
}

// Run is what one run has measured.
type Run struct {
	Machine Machine
	Rows    []Row
}

// Median returns the median of v, which keeps its order; 0 if v is empty. Of an
// even number of values, it is the mean of the two in the middle.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
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

// Number formats v with three digits, or with all digits before the point.
func Number(v float64) string {
	switch {
	case v >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// line is a line of a file of rows: the machine, which is the first one, or a
// row.
type line struct {
	Machine *Machine `json:"machine,omitempty"`
	*Row
}

// Write writes a run to a file, as JSON lines.
func Write(path string, run Run) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	if err := enc.Encode(line{Machine: &run.Machine}); err != nil {
		return err
	}
	for _, r := range run.Rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// Read reads what Write has written. If a row is in several files, the last one
// applies, so that one section can be measured again on its own. The machine is
// that of the last file that names one.
func Read(paths ...string) (Run, error) {
	var run Run
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return Run{}, err
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		for {
			var l line
			if err := dec.Decode(&l); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return Run{}, fmt.Errorf("%s: %w", path, err)
			}
			if l.Machine != nil {
				run.Machine = *l.Machine
			}
			if l.Row != nil {
				run.put(*l.Row)
			}
		}
	}
	return run, nil
}

func (run *Run) put(r Row) {
	for i, old := range run.Rows {
		if old.Name == r.Name && old.Baseline == r.Baseline {
			run.Rows[i] = r
			return
		}
	}
	run.Rows = append(run.Rows, r)
}
