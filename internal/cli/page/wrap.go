package page

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	// Width of texts for terminals, in columns.
	Width = 100
	// markdownWidth is the width of paragraphs in documents.
	markdownWidth = 140
	// maxName is the width of the column of names; a longer name has a line of its
	// own.
	maxName = 36
)

// Rows writes two columns for a terminal; long texts of the second wrap under
// it.
func Rows(b *strings.Builder, rows [][2]string) {
	width := 0
	for _, r := range rows {
		width = max(width, min(len(r[0]), maxName))
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
		wrap(b, r[1], indent, Width)
		b.WriteString("\n")
	}
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
