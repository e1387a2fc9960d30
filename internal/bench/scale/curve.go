package scale

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// Figures of a size.
const (
	call       = "call"        // processor time of a call, of many at a time
	alone      = "alone"       // the same, of one at a time
	start      = "start"       // until a core is ready
	startCPU   = "start-cpu"   // processor time until then
	resident   = "memory"      // a moment after the start
	private    = "private"     // the same, without code and mapped files
	peak       = "peak"        // the most so far
	called     = "called"      // a moment after all services were called
	publish    = "publish"     // until the publisher has its answer
	visible    = "visible"     // until every core describes the new revision
	publishCPU = "publish-cpu" // processor time of all cores for a publish
	idle       = "idle"        // bytes read and written in a second without calls
	idleCPU    = "idle-cpu"    // processor time of that second
)

// units of the figures, in the order in which they are shown.
var units = []struct{ figure, unit string }{
	{call, "cpu us"}, {alone, "cpu us"}, {start, "ms"}, {startCPU, "cpu ms"}, {resident, "MB"}, {private, "MB"}, {peak, "MB"}, {called, "MB"},
	{publish, "ms"}, {visible, "ms"}, {publishCPU, "cpu ms"}, {idle, "KB/s"}, {idleCPU, "cpu ms"},
}

// Flat is the largest ratio between two sizes at which a figure does not grow.
const Flat = 1.1

// curve is how figures depend on a size.
type curve struct {
	axis  string
	each  string // what one more of the size is
	sizes []int
	// values are those of the rounds, by figure and size.
	values map[string]map[int][]float64
}

func newCurve(axis, each string, sizes []int) *curve {
	return &curve{axis: axis, each: each, sizes: sizes, values: map[string]map[int][]float64{}}
}

func (c *curve) add(size int, figure string, value float64) {
	if c.values[figure] == nil {
		c.values[figure] = map[int][]float64{}
	}
	c.values[figure][size] = append(c.values[figure][size], value)
}

// rows returns the figures of every size, compared with those of the smallest,
// and the shape of each curve.
func (c *curve) rows() []table.Row {
	var rows []table.Row
	name := func(size int, figure string) string { return fmt.Sprintf("scale/%s/%d/%s", c.axis, size, figure) }
	for _, u := range units {
		values := c.values[u.figure]
		if len(values[c.sizes[0]]) == 0 {
			continue
		}
		var medians []float64
		for _, size := range c.sizes {
			median := table.Median(values[size])
			medians = append(medians, median)
			rows = append(rows, table.Row{
				Name: name(size, u.figure), Value: median, Unit: u.unit,
				Baseline: name(c.sizes[0], u.figure), Ratio: table.Median(table.Ratios(values[size], values[c.sizes[0]])),
			})
		}
		if len(c.sizes) > 1 {
			rows = append(rows, c.shape(u.figure, u.unit, medians))
		}
	}
	return rows
}

// shape describes how a figure depends on the size: it is flat, or it grows by
// the same for each, or by a power of the size. The value of the row is what each
// adds, between the smallest and the largest size.
func (c *curve) shape(figure, unit string, medians []float64) table.Row {
	first, last := medians[0], medians[len(medians)-1]
	from, to := float64(c.sizes[0]), float64(c.sizes[len(c.sizes)-1])
	row := table.Row{
		Name: "scale/shape/" + c.axis + "." + figure, Value: (last - first) / (to - from), Unit: unit,
		Baseline: "scale/" + c.axis, Ratio: last / first,
	}
	none := first - from*row.Value // what there would be without any
	switch {
	case slices.Max(medians) <= Flat*slices.Min(medians):
		row.Text = fmt.Sprintf("flat within %v", Flat)
	case none > 0 && c.linear(medians, row.Value) && row.Value < 0:
		row.Text = fmt.Sprintf("%s, and %s less for each %s", quantity(none, unit), quantity(-row.Value, unit), c.each)
	case none > 0 && c.linear(medians, row.Value):
		row.Text = fmt.Sprintf("%s, and %s for each %s", quantity(none, unit), quantity(row.Value, unit), c.each)
	default:
		n := len(medians)
		power := math.Log(last/medians[n-2]) / math.Log(to/float64(c.sizes[n-2]))
		row.Text = fmt.Sprintf("from %d to %d %ss as the power %.2f of their number", c.sizes[n-2], c.sizes[n-1], c.each, power)
	}
	return row
}

// linear reports whether a line between the smallest and the largest size is
// near every size between them.
func (c *curve) linear(medians []float64, slope float64) bool {
	for i, m := range medians {
		line := medians[0] + slope*float64(c.sizes[i]-c.sizes[0])
		if math.Abs(m-line) > 0.25*max(m, line) {
			return false
		}
	}
	return true
}

// smaller are the units that small quantities are written in.
var smaller = map[string]string{"cpu ms": "cpu us", "ms": "us", "MB": "KB", "KB": "bytes", "KB/s": "bytes/s"}

// quantity returns a value with a unit in which it is not tiny.
func quantity(v float64, unit string) string {
	for math.Abs(v) < 0.1 && smaller[unit] != "" {
		v, unit = v*1000, smaller[unit]
	}
	return table.Number(v) + " " + strings.Replace(unit, "us", "µs", 1)
}

// report prints the curve.
func (c *curve) report(rows []table.Row) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\t", c.axis)
	for _, size := range c.sizes {
		fmt.Fprintf(w, "%d\t", size)
	}
	fmt.Fprint(w, "last ÷ first\tshape\t\n")
	for _, u := range units {
		prefix, suffix := "scale/"+c.axis+"/", "/"+u.figure
		line := ""
		for _, row := range rows {
			if size, ok := strings.CutPrefix(row.Name, prefix); ok {
				if size, ok = strings.CutSuffix(size, suffix); ok {
					if _, err := strconv.Atoi(size); err == nil {
						line += table.Number(row.Value) + "\t"
					}
				}
			}
			if row.Name == "scale/shape/"+c.axis+"."+u.figure {
				line += table.Number(row.Ratio) + "\t" + row.Text + "\t"
			}
		}
		if line != "" {
			fmt.Fprintf(w, "%s, %s\t%s\n", u.figure, u.unit, line)
		}
	}
	return w.Flush()
}

// finish prints the curve and returns its rows.
func (c *curve) finish() ([]table.Row, error) {
	rows := c.rows()
	return rows, c.report(rows)
}
