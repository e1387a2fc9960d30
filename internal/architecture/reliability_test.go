package architecture_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedTest is a test as docs/reliability.md names it: its directory and its name.
var namedTest = regexp.MustCompile("`([a-z0-9/]+):(Test[A-Za-z0-9]+)`")

// A promise without a test that exists is a wish.
func TestEveryPromiseNamesItsTests(t *testing.T) {
	page, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]string) // the test files of a directory
	proved := false                  // the table has a column of tests
	for line := range strings.Lines(string(page)) {
		switch {
		case strings.HasSuffix(line, "| proved by |\n"):
			proved = true
		case !strings.HasPrefix(line, "|"):
			proved = false
		case proved && !strings.HasPrefix(line, "|--") && !namedTest.MatchString(line[strings.LastIndex(strings.TrimSuffix(line, "|\n"), "|"):]):
			t.Errorf("no test is named: %s", line)
		}
		for _, m := range namedTest.FindAllStringSubmatch(line, -1) {
			dir, name := m[1], m[2]
			if _, read := tests[dir]; !read {
				tests[dir] = testFiles(t, filepath.Join("../..", dir))
			}
			if !strings.Contains(tests[dir], "\nfunc "+name+"(t *testing.T)") {
				t.Errorf("%s has no %s", dir, name)
			}
		}
	}
	if len(tests) < 10 {
		t.Errorf("the page names tests of %d directories only", len(tests))
	}
}

// testFiles returns the test files of a directory, whatever their build tags.
func testFiles(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}
