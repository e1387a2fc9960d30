package reference

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/cli/resource"
)

var update = flag.Bool("update", false, "write docs/reference")

const folder = "../../../docs/reference"

func topics() []Topic { return Topics(resource.All()) }

// The pages say what the code says.
func TestPagesAreUpToDate(t *testing.T) {
	var files []string
	for _, topic := range topics() {
		want, err := topic.Markdown()
		if err != nil {
			t.Fatalf("%s: %v", topic.Name, err)
		}
		file := filepath.Join(folder, topic.Name+".md")
		files = append(files, file)
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, _ := os.ReadFile(file) // a missing file is stale, too
		if portable(string(got)) != portable(want) {
			t.Errorf("docs/reference/%s.md is stale: run `make references`", topic.Name)
		}
	}
	found, err := filepath.Glob(filepath.Join(folder, "*.md"))
	slices.Sort(files)
	if err != nil || !slices.Equal(found, files) {
		t.Errorf("docs/reference has %v, want %v", found, files)
	}
}

// portable returns the part of a page that does not depend on the system.
func portable(text string) string {
	if runtime.GOOS == "linux" {
		return text
	}
	text, _, _ = strings.Cut(text, "## "+processHeading)
	return text
}

// The help of a topic fits a terminal, has no marks of Markdown and says what the
// page says.
func TestTopicsAreReadableOnATerminal(t *testing.T) {
	for _, topic := range topics() {
		text, err := topic.Text(page.Width)
		if err != nil {
			t.Fatal(err)
		}
		p, err := topic.Page()
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != topic.Name || topic.Help == "" {
			t.Errorf("the page of %s is %s, with the help %q", topic.Name, p.Name, topic.Help)
		}
		examples := ""
		for _, part := range p.Parts {
			switch part := part.(type) {
			case page.Code:
				examples += part.Text
			case page.Table:
				for _, row := range part.Rows {
					if !strings.Contains(text, "  "+row[0]) {
						t.Errorf("ruedo help %s lacks %s", topic.Name, row[0])
					}
				}
			}
		}
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if len([]rune(line)) > page.Width && !strings.Contains(examples, strings.TrimSpace(line)) {
				t.Errorf("ruedo help %s has a line of %d columns: %s", topic.Name, len(line), line)
			}
			if strings.ContainsAny(line, "`|") && !strings.Contains(examples, strings.TrimSpace(line)) || strings.Contains(line, "](") {
				t.Errorf("ruedo help %s has marks of Markdown: %s", topic.Name, line)
			}
		}
	}
	if _, ok := Lookup(topics(), "nothing"); ok {
		t.Error("there is a topic named nothing")
	}
}
