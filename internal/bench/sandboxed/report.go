package sandboxed

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// report prints the rows, followed by the targets.
func (b *bench) report() error {
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "measured\tvalue\tunit\tratio\tto")
	for _, r := range b.rows {
		ratio := ""
		if r.Baseline != "" {
			ratio = table.Number(r.Ratio)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, table.Number(r.Value), r.Unit, ratio, r.Baseline)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return b.judge(os.Stdout)
}
