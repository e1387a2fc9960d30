package page

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// Width of texts for terminals, in columns. Narrower ones get narrower texts.
	Width = 100
	// markdownWidth is the width of paragraphs in documents.
	markdownWidth = 140
	// maxName is the width of the column of names, of a text of Width; a longer name
	// has a line of its own.
	maxName = 36
)

// Rows writes two columns for a terminal of so many columns; long texts of the second
// wrap under it.
func Rows(b *strings.Builder, rows [][2]string, columns int) {
	width := 0
	for _, r := range rows {
		width = max(width, min(len(r[0]), maxName*columns/Width))
	}
	indent := strings.Repeat(" ", width+5)
	for _, r := range rows {
		switch {
		case r[1] == "":
			fmt.Fprintf(b, "  %s", r[0])
		case len(r[0]) > width:
			fmt.Fprintf(b, "  %s\n%s", r[0], indent)
		default:
			fmt.Fprintf(b, "  %-*s   ", width, r[0])
		}
		wrap(b, r[1], indent, columns)
		b.WriteString("\n")
	}
}

// Fit returns text for a terminal of so many columns: a paragraph with a line that is
// longer is wrapped again. Lines that begin with a space stay as they are.
func Fit(text string, columns int) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString("\n\n")
		}
		lines := strings.Split(paragraph, "\n")
		if !slices.ContainsFunc(lines, func(l string) bool { return utf8.RuneCountInString(l) > columns }) {
			b.WriteString(paragraph)
			continue
		}
		for n := 0; n < len(lines); {
			if n > 0 {
				b.WriteString("\n")
			}
			end := n + 1
			if strings.HasPrefix(lines[n], " ") {
				b.WriteString(lines[n])
			} else {
				for end < len(lines) && !strings.HasPrefix(lines[end], " ") {
					end++
				}
				wrap(&b, strings.Join(lines[n:end], " "), "", columns)
			}
			n = end
		}
	}
	return b.String()
}

// wrap writes words into lines. The first line begins where b ends, behind as
// many columns as indent has; indent begins the others.
func wrap(b *strings.Builder, text, indent string, width int) {
	column := len(indent)
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+utf8.RuneCountInString(word) > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += utf8.RuneCountInString(word)
	}
}

var (
	link  = regexp.MustCompile(`\[([^\]]*)\]\(([^)#]*)[^)]*\)`)
	marks = strings.NewReplacer("`", "", "**", "")
)

// plain returns text without the marks of Markdown. A link says where its reader
// can go on: to a page of docs, or to the help of another page.
func plain(text string) string {
	text = link.ReplaceAllStringFunc(text, func(l string) string {
		m := link.FindStringSubmatch(l)
		words, target := m[1], m[2]
		if guide, ok := strings.CutPrefix(target, "../"); ok {
			return words + " (docs/" + guide + ")"
		}
		return words + " (ruedo help " + strings.TrimSuffix(target, ".md") + ")"
	})
	return marks.Replace(text)
}
