package exchange

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// rows returns the medians, each with its ratio to native, or to the other
// checkout.
func (b *bench) rows() []table.Row {
	var rows []table.Row
	for _, k := range b.keys {
		row := table.Row{Name: k.row(), Value: table.Median(b.figures[k.row()]), Unit: k.unit}
		by := native
		if strings.HasPrefix(k.what, "function/") {
			by = before
		}
		to := key{k.what, by, k.figure, k.unit}.row()
		if theirs := b.figures[to]; k.subject != by && len(theirs) > 0 && table.Median(theirs) != 0 {
			row.Baseline, row.Ratio = to, table.Median(table.Ratios(b.figures[k.row()], theirs))
		}
		rows = append(rows, row)
	}
	return rows
}

// targets are the largest ratios to native that are good enough.
var targets = []struct {
	row string
	max float64
}{
	{"exchange/get/c=16/ruedo/p50", 1.5},
	{"exchange/connect/c=16/ruedo/p50", 2},
	{"exchange/paced/c=16/ruedo/first", 1.5},
}

// report prints the rows, followed by the targets.
func report(rows []table.Row) error {
	if err := table.Print(os.Stdout, rows); err != nil {
		return err
	}
	judge(os.Stdout, rows)
	return nil
}

// judge says which targets are met.
func judge(w io.Writer, rows []table.Row) {
	for _, t := range targets {
		for _, r := range rows {
			if r.Name != t.row || r.Baseline == "" {
				continue
			}
			verdict := "met"
			if r.Ratio > t.max {
				verdict = "MISSED"
			}
			fmt.Fprintf(w, "%s: %s is %s times that of %s, at most %s is the target\n", verdict, r.Name, table.Number(r.Ratio), native, table.Number(t.max))
		}
	}
}
