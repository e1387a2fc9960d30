package identity

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/names"
)

func TestARunnerKeepsItsIDOverRestarts(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files are not locked on this system")
	}
	dir := filepath.Join(t.TempDir(), "ids")
	first, release := Claim(dir, "Edge.example.net")
	if !strings.HasPrefix(first, "edge-") || !names.Valid(first) {
		t.Errorf("the id is %q", first)
	}
	// Several at the same time have an id each.
	second, releaseSecond := Claim(dir, "edge")
	if second == first {
		t.Errorf("two runners are %s", first)
	}
	other, releaseOther := Claim(dir, "edge-rack")
	if other == first || other == second || !strings.HasPrefix(other, "edge-rack-") {
		t.Errorf("the id is %q", other)
	}
	release()
	release()
	again, release := Claim(dir, "edge")
	if again != first {
		t.Errorf("after a restart it is %s, before it was %s", again, first)
	}
	release()
	releaseSecond()
	releaseOther()
	one, release := Claim(dir, "edge")
	defer release()
	two, release := Claim(dir, "edge")
	defer release()
	if got, want := []string{one, two}, []string{first, second}; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("after a restart of both they are %v, before they were %v", got, want)
	}
}

func TestADirectoryThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file, filepath.Join(file, "sub")} {
		a, release := Claim(dir, "edge")
		defer release()
		if b, release := Claim(dir, "edge"); a == b || !names.Valid(a) {
			t.Errorf("%q: %s and %s", dir, a, b)
		} else {
			defer release()
		}
	}
}

// What is not an id is left alone, and the number of ids is bounded.
func TestWhatElseIsInTheDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"edge-abc", "edge-ABCDEF", "edge-abcdef.bak", "edge-abcde1", "other-abcdef"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "edge-abcdef"), 0o700); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range maxKept + 10 {
		id, release := Claim(dir, "edge")
		defer release()
		if seen[id] || id == "edge-abcdef" {
			t.Fatalf("%s twice, or of a directory", id)
		}
		seen[id] = true
	}
	if n := len(kept(dir, "edge")); n > maxKept {
		t.Errorf("%d ids are kept", n)
	}
}
