package architecture_test

import (
	"strings"
	"testing"
)

// The README repeats some figures of the page that `make benchmarks` writes.
func TestTheReadmeShowsFiguresOfThePage(t *testing.T) {
	readme, page := read(t, "../../README.md"), read(t, "../../docs/benchmarks.md")
	_, rest, found := strings.Cut(readme, "<!-- from docs/benchmarks.md; `make benchmarks` writes it -->\n")
	short, _, ended := strings.Cut(rest, "<!-- end -->\n")
	if !found || !ended || strings.Count(short, "\n") != 2+5 {
		t.Fatalf("README.md has no table of five figures, but %q", short)
	}
	if !strings.Contains(page, "\n"+short) {
		t.Errorf("docs/benchmarks.md does not have the figures of README.md; run `make benchmarks`, with BENCH_FROM if the rows were kept:\n%s", short)
	}
}
