// Package page is a page of documentation that is made from the code. It is
// written twice from the same parts: [Page.Markdown] for docs/reference, and
// [Page.Text] for a terminal.
package page

import (
	"fmt"
	"strings"
)

// Page is a title and its parts.
type Page struct {
	// Name of the file without ".md", and the word for `ruedo help`.
	Name  string
	Title string
	Parts []Part
}

// Part is a [Heading], a [Text], a [Code] or a [Table].
type Part interface {
	markdown(b *strings.Builder)
	text(b *strings.Builder, width int)
}

// Heading begins a section.
type Heading string

// Text is a paragraph. It can have `code`, and [links](target) to other pages
// (documents.md) and to guides (../call.md).
type Text string

// Code is shown as it is.
type Code struct{ Language, Text string }

// Table has a row for each thing, and the thing's name in the first column.
type Table struct {
	Columns []Column
	Rows    [][]string
}

// Column is a column of a table. A terminal has no room for columns: it shows
// the name, next to it the cell of the last column, and then the others.
type Column struct {
	Head string
	// Label is how a terminal shows a cell that is not empty, with %s for the
	// cell, for example "Default: %s.". Default: "Head: %s.".
	Label string
	// Code marks cells that are code.
	Code bool
}

// Markdown returns the page as a document. source is what a reader must know to
// change it.
func (p Page) Markdown(source string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n<!-- %s -->\n", p.Title, source)
	for _, part := range p.Parts {
		b.WriteString("\n")
		part.markdown(&b)
	}
	return b.String()
}

// Text returns the page for a terminal of so many columns. Code is not wrapped.
func (p Page) Text(width int) string {
	var b strings.Builder
	b.WriteString(p.Title + "\n")
	for _, part := range p.Parts {
		b.WriteString("\n")
		part.text(&b, width)
	}
	return b.String()
}

func (h Heading) markdown(b *strings.Builder)    { fmt.Fprintf(b, "## %s\n", string(h)) }
func (h Heading) text(b *strings.Builder, _ int) { fmt.Fprintf(b, "%s:\n", plain(string(h))) }

func (t Text) markdown(b *strings.Builder) {
	wrap(b, string(t), "", markdownWidth)
	b.WriteString("\n")
}
func (t Text) text(b *strings.Builder, width int) {
	wrap(b, plain(string(t)), "", width)
	b.WriteString("\n")
}

func (c Code) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "```%s\n%s\n```\n", c.Language, strings.TrimSuffix(c.Text, "\n"))
}

func (c Code) text(b *strings.Builder, _ int) {
	for line := range strings.Lines(c.Text) {
		b.WriteString(strings.TrimRight("  "+line, " \n") + "\n")
	}
}

func (t Table) markdown(b *strings.Builder) {
	for _, c := range t.Columns {
		b.WriteString("| " + c.Head + " ")
	}
	b.WriteString("|\n" + strings.Repeat("|---", len(t.Columns)) + "|\n")
	for _, row := range t.Rows {
		for i, c := range t.Columns {
			cell := strings.ReplaceAll(row[i], "|", `\|`)
			if c.Code && cell != "" {
				cell = "`" + cell + "`"
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
}

func (t Table) text(b *strings.Builder, width int) {
	last := len(t.Columns) - 1
	var rows [][2]string
	for _, row := range t.Rows {
		parts := []string{plain(row[last])}
		for i, c := range t.Columns[:last] {
			if i == 0 || row[i] == "" {
				continue
			}
			label := c.Label
			if label == "" {
				label = strings.ToUpper(c.Head[:1]) + c.Head[1:] + ": %s."
			}
			parts = append(parts, fmt.Sprintf(label, plain(row[i])))
		}
		rows = append(rows, [2]string{plain(row[0]), strings.Join(parts, " ")})
	}
	Rows(b, rows, width)
}
