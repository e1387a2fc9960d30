package compile_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

func TestLeastRecentlyUsedEntriesMakeRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "modules")
	first := entryOf(t, dir, returns(1), 1)
	second := entryOf(t, dir, returns(2), 2)
	st, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "README"), []byte("not ours"))
	write(t, filepath.Join(dir, ".new-1"), []byte("of a crash"))
	long := time.Now().Add(-2 * time.Hour)
	for i, f := range []string{filepath.Join(dir, ".new-1"), first, second} {
		at := long.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(f, at, at); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, func(cfg *compile.Config) { cfg.Dir, cfg.MaxSize = dir, st.Size()*5/2 })
	if _, report := run(t, c, returns(1)); !report.Hit { // used now
		t.Fatalf("got %+v", report)
	}
	run(t, c, returns(3))
	got := entries(t, dir)
	if len(got) != 2 || !contains(got, first) || contains(got, second) || c.Stats().Evicted != 1 {
		t.Errorf("left: %v; %+v", got, c.Stats())
	}
	if _, err := os.Stat(filepath.Join(dir, "README")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".new-1")); err == nil {
		t.Error("what a crash left is still there")
	}

	// A module that is larger than the whole cache is used but not stored.
	heard := &testkit.Log{}
	c = open(t, func(cfg *compile.Config) { cfg.Dir, cfg.MaxSize, cfg.Logger = dir, 10, heard.Logger() })
	if got, _ := run(t, c, returns(4)); got != 4 || !strings.Contains(heard.String(), "not kept") {
		t.Errorf("got %d; logged: %s", got, heard)
	}
}

func TestTwoProcessesOnOneDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "modules")
	a := open(t, func(cfg *compile.Config) { cfg.Dir = dir })
	b := open(t, func(cfg *compile.Config) { cfg.Dir = dir })
	if got, report := run(t, a, returns(6)); got != 6 || report.Hit {
		t.Errorf("got %d, %+v", got, report)
	}
	if got, report := run(t, b, returns(6)); got != 6 || !report.Hit {
		t.Errorf("got %d, %+v", got, report)
	}
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, report := run(t, b, returns(6)); got != 6 || !report.Hit {
		t.Errorf("got %d, %+v", got, report)
	}
}

// TestWhatIsNeededGoesLast fills a directory with code of which the oldest is
// needed.
func TestWhatIsNeededGoesLast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "modules")
	first := entryOf(t, dir, returns(1), 1)
	second := entryOf(t, dir, returns(2), 2)
	st, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(first, long, long); err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{strings.TrimSuffix(filepath.Base(first), ".code"): true}
	c := open(t, func(cfg *compile.Config) {
		cfg.Dir, cfg.MaxSize, cfg.Needed = dir, st.Size()*5/2, func() map[string]bool { return needed }
	})
	_, report := run(t, c, returns(3))
	if got := entries(t, dir); len(got) != 2 || !contains(got, first) || contains(got, second) {
		t.Errorf("left: %v", got)
	}
	if report.Key == "" || !contains(entries(t, dir), filepath.Join(dir, report.Key+".code")) {
		t.Errorf("the key %q names no entry", report.Key)
	}
	// If only needed code is left, it goes as well: the bound holds.
	needed[report.Key] = true
	run(t, c, returns(4))
	if got := entries(t, dir); len(got) != 2 || contains(got, first) {
		t.Errorf("left: %v", got)
	}
}
