package architecture_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// found returns the files below root whose names end in suffix, without those
// of hidden directories, modules of other people and tests' data.
func found(t *testing.T, suffix string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		if err == nil && d.IsDir() && path != root && (name[0] == '.' || slices.Contains([]string{"bin", "gen", "node_modules", "testdata", "third_party"}, name)) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, suffix) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 2 {
		t.Fatalf("found only %d files *%s", len(paths), suffix)
	}
	return paths
}

var heading = regexp.MustCompile(`(?m)^#+ (.*)$`)

func headings(text string) (titles []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		titles = append(titles, m[1])
	}
	return titles
}

// Comments in the code point to the entries of the rationale by their titles.
func TestQuotedTitlesExist(t *testing.T) {
	titles := headings(read(t, root+"/docs/RATIONALE.md"))
	quoted := regexp.MustCompile(`"([^"]+)" in docs/RATIONALE\.md`)
	n := 0
	for _, path := range found(t, ".go") {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range f.Comments {
			for _, m := range quoted.FindAllStringSubmatch(strings.Join(strings.Fields(c.Text()), " "), -1) {
				if n++; !slices.Contains(titles, m[1]) {
					t.Errorf("%s: docs/RATIONALE.md has no entry %q", path, m[1])
				}
			}
		}
	}
	if n < 5 {
		t.Errorf("found only %d titles", n)
	}
}

// anchor is what a heading is linked by.
func anchor(title string) string {
	title = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(title), "")
	return strings.ReplaceAll(title, " ", "-")
}

var (
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	// inRepo is a path of this repository, of a file or a package.
	inRepo = regexp.MustCompile(`(?:^|[^\w/.<>:-])((?:core|docs|examples|gen|internal|proto|runner|sandbox|sdk|third_party|tools)/[\w./-]+)`)
	// bare is a Go file in the directory that the text has named before.
	bare = regexp.MustCompile("`([\\w-]+\\.go)`")
)

func TestDocsNameWhatExists(t *testing.T) {
	files := make(map[string]bool)
	for _, path := range found(t, ".go") {
		files[filepath.Base(path)] = true
	}
	exists := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	for _, page := range found(t, ".md") {
		text := read(t, page)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to, title, _ := strings.Cut(m[1], "#")
			target := page
			if to != "" {
				target = filepath.Join(filepath.Dir(page), to)
			}
			switch {
			case !exists(target):
				t.Errorf("%s links to %s, which does not exist", page, m[1])
			case title != "" && !slices.ContainsFunc(headings(read(t, target)), func(h string) bool { return anchor(h) == title }):
				t.Errorf("%s links to %s, and there is no such heading", page, m[1])
			}
		}
		// The parts of the benchmarks look like paths.
		for _, m := range inRepo.FindAllStringSubmatch(strings.ReplaceAll(text, "-only sandbox/", ""), -1) {
			if path := strings.TrimRight(m[1], "./"); !exists(filepath.Join(root, path)) {
				t.Errorf("%s names %s, which does not exist", page, path)
			}
		}
		for _, m := range bare.FindAllStringSubmatch(text, -1) {
			if !files[m[1]] {
				t.Errorf("%s names %s, and there is no file of this name", page, m[1])
			}
		}
	}
}

var (
	variable = regexp.MustCompile(`RUEDO_[A-Z_]*[A-Z]`)
	metric   = regexp.MustCompile(`\bruedo_[a-z_]+\b`)
)

// Who copies a unit or an alert from a page must not find out later that it names
// nothing.
func TestDocsNameSettingsAndMetricsThatExist(t *testing.T) {
	settings, metrics := read(t, root+"/docs/reference/settings.md"), read(t, root+"/docs/reference/metrics.md")
	named := 0
	for _, page := range found(t, ".md") {
		if !in(filepath.ToSlash(page), root+"/docs") {
			continue
		}
		for _, name := range variable.FindAllString(read(t, page), -1) {
			if named++; !strings.Contains(settings, "`"+name+"`") {
				t.Errorf("%s names %s, which is no setting", page, name)
			}
		}
	}
	for _, page := range []string{"operations.md", "cluster.md", "high-availability.md"} {
		for _, name := range metric.FindAllString(read(t, root+"/docs/"+page), -1) {
			if named++; !strings.Contains(metrics, "`"+strings.TrimSuffix(name, "_bucket")+"`") {
				t.Errorf("docs/%s names %s, which is no metric", page, name)
			}
		}
	}
	if named < 30 {
		t.Errorf("found only %d names", named)
	}
}

// The index leads to every page: nobody finds one that no page links to.
func TestTheIndexLeadsToEveryPage(t *testing.T) {
	index := filepath.Join(root, "docs", "README.md")
	reached := map[string]bool{index: true}
	for _, m := range link.FindAllStringSubmatch(read(t, index), -1) {
		to, _, _ := strings.Cut(m[1], "#")
		reached[filepath.Join(filepath.Dir(index), to)] = true
	}
	for _, page := range found(t, ".md") {
		if in(filepath.ToSlash(page), root+"/docs") && !reached[page] {
			t.Errorf("docs/README.md does not link to %s", page)
		}
	}
	if !strings.Contains(read(t, root+"/README.md"), "](docs/README.md)") {
		t.Error("README.md does not link to the index")
	}
}
