package architecture_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	// maxLines is where a file is two nouns.
	maxLines = 500
	// maxPackage is where a package is two rooms: lines without tests.
	maxPackage = 1500
)

// larger are the packages that may have more lines, and why. A package that has
// shrunk below leaves the list.
var larger = map[string]struct {
	lines  int
	reason string
}{
	"core/decorate/schema": {1700, "an interpreter of one language: its keywords refer to each other"},
	"internal/lane":        {3300, "both ends of one protocol: who changes one has to read the other"},
	"internal/port":        {1600, "speed, budgets and connections end each other, so one reader has to know all three"},
	"internal/wasmbin":     {3050, "one reader of one format, which has hundreds of instructions"},
	"sandbox/instrument":   {1750, "one pass over the instructions of that format"},
}

func lines(t *testing.T, p pkg, name string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

func TestNoFileIsTwoRooms(t *testing.T) {
	for _, p := range packages(t) {
		if inAny(p.ImportPath, generated) {
			continue
		}
		for _, name := range p.GoFiles {
			if n := lines(t, p, name); n > maxLines {
				t.Errorf("%s/%s has %d lines, over %d: a room that outgrows it is two rooms", p.ImportPath, name, n, maxLines)
			}
		}
	}
}

func TestNoPackageIsTwoRooms(t *testing.T) {
	found := make(map[string]bool)
	for _, p := range packages(t) {
		if inAny(p.ImportPath, generated) {
			continue
		}
		found[p.ImportPath] = true
		n := 0
		for _, name := range p.GoFiles {
			n += lines(t, p, name)
		}
		most := max(maxPackage, larger[p.ImportPath].lines)
		switch _, listed := larger[p.ImportPath]; {
		case n > most:
			t.Errorf("%s has %d lines, over %d: split it, or say in larger why one reader has to know all of it", p.ImportPath, n, most)
		case listed && n <= maxPackage:
			t.Errorf("%s has %d lines and no longer belongs in larger", p.ImportPath, n)
		}
	}
	for path, l := range larger {
		if !found[path] || l.reason == "" {
			t.Errorf("%s in larger: is it a package, and is there a reason?", path)
		}
	}
}

// An arrow test that nobody is part of proves nothing.
func TestEveryPackageHasARule(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.ContainsFunc(arrows, func(a arrow) bool { return a.only != nil && inAny(p.ImportPath, a.from) }) {
			t.Errorf("%s may import anything of ours: say in arrows what it may, and why", p.ImportPath)
		}
	}
}
