// Package page writes the rows of a run as Markdown: docs/benchmarks.md, and
// the figures that the README shows.
package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

const intro = `# Benchmarks

` + "`make benchmarks`" + ` measures Ruedo against baselines and peers, and writes this page. All subjects take turns in one run, round after round, so
that other load on the machine affects them alike. A ratio is taken within a round, and the median over the rounds is shown: 1 means the
same, 2 means twice as much. Ratios of processor time are the most reliable, then those of wall time. Absolute figures depend on the machine.

`

// Page returns the page. It leaves out what was not measured.
func Page(run table.Run) string {
	var b strings.Builder
	b.WriteString(intro)
	if m := run.Machine; m.CPUs > 0 {
		cpus := strings.TrimSpace(fmt.Sprintf("%d CPUs %s", m.CPUs, parenthesized(m.Model)))
		fmt.Fprintf(&b, "Measured on %s: %s, %s, %s, at a load of %s when the run began.\n\n", m.Date, cpus, m.System, m.Go, m.Load)
	}
	rows := index(run.Rows)
	if short := rows.short(); short != "" {
		fmt.Fprintf(&b, "## In short\n\n%s\n", short)
	}
	for _, s := range sections {
		var tables strings.Builder
		for _, g := range s.grids {
			tables.WriteString(g.markdown(rows))
		}
		if tables.Len() > 0 {
			fmt.Fprintf(&b, "## %s\n\n%s\n\n```console\n$ cd internal/bench && go run . -only %s\n```\n\n%s", s.title, s.what, s.only, tables.String())
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func parenthesized(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

// The lines of a document between which the short table stands.
const (
	begin = "<!-- from docs/benchmarks.md; `make benchmarks` writes it -->\n"
	end   = "<!-- end -->\n"
)

// Short replaces the short table in a document. It fails if the document has no
// place for it, or if a figure was not measured.
func Short(document string, run table.Run) (string, error) {
	rows := index(run.Rows)
	for _, h := range headlines {
		if _, ok := rows.ratio(h.row, h.baseline); !ok {
			return "", fmt.Errorf("%s was not measured against %s", h.row, h.baseline)
		}
	}
	before, rest, found := strings.Cut(document, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", fmt.Errorf("no line %q with a line %q after it", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + rows.short() + end + after, nil
}

// rowsByName are rows by their name and baseline.
type rowsByName struct {
	list []table.Row
	by   map[[2]string]table.Row
}

func index(list []table.Row) rowsByName {
	r := rowsByName{list, make(map[[2]string]table.Row)}
	for _, row := range list {
		r.by[[2]string{row.Name, row.Baseline}] = row
	}
	return r
}

func (r rowsByName) ratio(name, baseline string) (float64, bool) {
	row, ok := r.by[[2]string{name, baseline}]
	return row.Ratio, ok
}

func (r rowsByName) value(name string) (float64, bool) {
	row, ok := r.first(name)
	return row.Value, ok
}

func (r rowsByName) text(name string) string {
	row, _ := r.first(name)
	return row.Text
}

// first returns the first row with a name.
func (r rowsByName) first(name string) (row table.Row, ok bool) {
	i := slices.IndexFunc(r.list, func(row table.Row) bool { return row.Name == name })
	if i < 0 {
		return row, false
	}
	return r.list[i], true
}

// short returns the table of the headlines that were measured.
func (r rowsByName) short() string {
	var b strings.Builder
	for _, h := range headlines {
		if ratio, ok := r.ratio(h.row, h.baseline); ok {
			if b.Len() == 0 {
				b.WriteString("| measured | ratio |\n|---|--:|\n")
			}
			fmt.Fprintf(&b, "| %s | %s |\n", h.what, table.Number(ratio))
		}
	}
	return b.String()
}

// markdown returns the table; empty if it would have no lines.
func (g grid) markdown(rows rowsByName) string {
	var b strings.Builder
	for _, key := range g.keys(rows) {
		fmt.Fprintf(&b, "| %s |", label(key))
		for _, c := range g.columns {
			if text := c.text(key, rows); text != "" {
				b.WriteString(" " + text)
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	if b.Len() == 0 {
		return ""
	}
	head, rule := "| "+g.subject+" |", "|---|"
	for _, c := range g.columns {
		head += " " + c.title + " |"
		rule += "--:|"
	}
	return g.what + "\n\n" + head + "\n" + rule + "\n" + b.String() + "\n"
}

// keys returns the subjects of the table in the order of the rows: what stands
// for the asterisk in the row of any column.
func (g grid) keys(rows rowsByName) []string {
	var keys []string
	for _, row := range rows.list {
		for _, c := range g.columns {
			prefix, suffix, _ := strings.Cut(c.row, "*")
			key, begins := strings.CutPrefix(row.Name, prefix)
			key, ends := strings.CutSuffix(key, suffix)
			if !begins || !ends || slices.Contains(keys, key) {
				continue
			}
			if _, ok := g.columns[0].cell(key, rows); ok {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// text returns what stands in the column of a subject; empty if that was not
// measured.
func (c column) text(key string, rows rowsByName) string {
	if c.baseline == words {
		return rows.text(strings.Replace(c.row, "*", key, 1))
	}
	if v, ok := c.cell(key, rows); ok {
		return thousands(table.Number(v))
	}
	return ""
}

// cell returns the figure of a subject.
func (c column) cell(key string, rows rowsByName) (float64, bool) {
	name := strings.Replace(c.row, "*", key, 1)
	if c.baseline == "" {
		return rows.value(name)
	}
	return rows.ratio(name, strings.Replace(c.baseline, "*", key, 1))
}

func label(key string) string {
	if l, ok := labels[key]; ok {
		return l
	}
	if n, found := strings.CutSuffix(key, "MB"); found {
		return n + " MB"
	}
	if _, err := strconv.Atoi(key); err == nil {
		return thousands(key)
	}
	return strings.Replace(key, "/c=", ", ", 1)
}

// thousands separates the digits before the point in groups of three.
func thousands(number string) string {
	whole, rest, point := strings.Cut(number, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		whole += "." + rest
	}
	return whole
}
