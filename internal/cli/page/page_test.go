package page_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/cli/page"
)

var things = page.Page{
	Name: "things", Title: "Things",
	Parts: []page.Part{
		page.Text("A `thing` is described in [others](others.md#fields) and [the guide](../guide.md)."),
		page.Heading("Fields"),
		page.Table{
			Columns: []page.Column{{Head: "field", Code: true}, {Head: "type"}, {Head: "default", Label: "It is %s by default."}, {Head: "meaning"}},
			Rows:    [][]string{{"size", "number", "7", "How large | it is, in `MiB`."}, {"name", "text", "", "What it is called."}},
		},
		page.Code{Language: "yaml", Text: "size: 8\n\nname: x\n"},
	},
}

func ExamplePage_Text() {
	fmt.Print(things.Text(page.Width))
	// Output:
	// Things
	//
	// A thing is described in others (ruedo help others) and the guide (docs/guide.md).
	//
	// Fields:
	//
	//   size   How large | it is, in MiB. Type: number. It is 7 by default.
	//   name   What it is called. Type: text.
	//
	//   size: 8
	//
	//   name: x
}

func ExamplePage_Markdown() {
	fmt.Print(things.Markdown("made from the code"))
	// Output:
	// # Things
	//
	// <!-- made from the code -->
	//
	// A `thing` is described in [others](others.md#fields) and [the guide](../guide.md).
	//
	// ## Fields
	//
	// | field | type | default | meaning |
	// |---|---|---|---|
	// | `size` | number | 7 | How large \| it is, in `MiB`. |
	// | `name` | text |  | What it is called. |
	//
	// ```yaml
	// size: 8
	//
	// name: x
	// ```
}

func TestNoLineIsWiderThanATerminal(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 100))
	p := page.Page{Title: "t", Parts: []page.Part{
		page.Text(long),
		page.Table{
			Columns: []page.Column{{Head: "name"}, {Head: "meaning"}},
			Rows:    [][]string{{"short", long}, {strings.Repeat("n", 50), long}, {"alone", ""}},
		},
	}}
	for _, width := range []int{page.Width, 80, 60} {
		words := 0
		for line := range strings.Lines(p.Text(width)) {
			if n := len(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("a line has %d columns of %d: %s", n, width, line)
			}
			if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
				t.Errorf("a line ends in a space: %q", line)
			}
			words += strings.Count(line, "word")
		}
		if words != 300 {
			t.Errorf("%d words were written, want 300", words)
		}
	}
}

func ExampleFit() {
	text := "A paragraph whose\nlines are long.\n\nOne that fits.\nIt stays.\n\n  code that stays, however long it is"
	fmt.Println(page.Fit(text, 15))
	// Output:
	// A paragraph
	// whose lines are
	// long.
	//
	// One that fits.
	// It stays.
	//
	//   code that stays, however long it is
}
