package sandboxed

import (
	"fmt"
	"os"
	"text/tabwriter"
)

// report prints the rows, followed by the targets.
func (b *bench) report() error {
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "measured\tvalue\tunit\tratio\tto")
	for _, r := range b.rows {
		ratio := ""
		if r.Baseline != "" {
			ratio = number(r.Ratio)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, number(r.Value), r.Unit, ratio, r.Baseline)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return b.judge(os.Stdout)
}

// number formats v with three digits, or with all digits before the point.
func number(v float64) string {
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
