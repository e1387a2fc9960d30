package table

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Print prints rows.
func Print(out io.Writer, rows []Row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "measured\tvalue\tunit\tratio\tto")
	for _, r := range rows {
		ratio := ""
		if r.Baseline != "" {
			ratio = Number(r.Ratio)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, Number(r.Value), r.Unit, ratio, r.Baseline)
	}
	return w.Flush()
}

// Target is what a row must reach.
type Target struct {
	What           string
	Name, Baseline string // of the row
	Value          bool   // compares its value, not its ratio
	Least          bool   // more is better
	Limit          float64
	Stretch        float64 // 0: there is none
	Clock          bool    // wall time: needs an idle machine
}

// Judge compares the rows that were measured with targets, and prints that. Wall time
// suffers from everything else that runs on the machine, so load returns the load
// average when a row was measured.
func Judge(out io.Writer, rows []Row, targets []Target, load func(row string) string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\ntarget\tlimit\tstretch\tmeasured\t\t")
	for _, t := range targets {
		for _, r := range rows {
			if r.Name != t.Name || r.Baseline != t.Baseline {
				continue
			}
			got := r.Ratio
			if t.Value {
				got = r.Value
			}
			sign, by, stretch := "<=", "", ""
			if t.Least {
				sign = ">="
			}
			if t.Clock {
				by = "the clock, at a load of " + load(r.Name)
			}
			if t.Stretch != 0 {
				stretch = Number(t.Stretch)
			}
			fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%s\t%s\n", t.What, sign, Number(t.Limit), stretch, Number(got), t.verdict(got), by)
			break
		}
	}
	return w.Flush()
}

func (t Target) verdict(got float64) string {
	reaches := func(limit float64) bool {
		if t.Least {
			return got >= limit
		}
		return got <= limit
	}
	switch {
	case t.Stretch != 0 && reaches(t.Stretch):
		return "met, and the stretch"
	case reaches(t.Limit):
		return "met"
	}
	return "MISSED"
}
