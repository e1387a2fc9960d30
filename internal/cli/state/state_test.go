package state

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func in(t *testing.T) (d Dir, path string) {
	t.Helper()
	path = t.TempDir()
	return In(func(name string) string { return map[string]string{"XDG_STATE_HOME": path}[name] }), filepath.Join(path, "ruedo")
}

// sorted returns what is remembered, in an order of its own.
func sorted(d Dir) string {
	list := strings.Split(d.Revisions(), ",")
	slices.Sort(list)
	return strings.Join(list, ",")
}

func TestRevisions(t *testing.T) {
	d, path := in(t)
	for _, step := range []struct{ wrote, want string }{
		{"", ""},
		{"12@one", "12@one"},
		{"13@one,7@two", "13@one,7@two"},
		{"12@one", "13@one,7@two,12@one"}, // of a command that began earlier; the core takes the highest
		{"14@one,9", "14@one,7@two,9"},
		{"../x,1@../y,-1@z,x@z,5@Z", "14@one,7@two,9"},
		{"", ""},
	} {
		if err := d.Wrote(step.wrote); err != nil {
			t.Fatal(err)
		}
		want := strings.Split(step.want, ",")
		slices.Sort(want)
		if got := sorted(d); got != strings.Join(want, ",") {
			t.Errorf("after %q: %q, want %q", step.wrote, got, step.want)
		}
	}
	if err := d.Wrote("1@one"); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(path, "revisions", "1@one"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
}

// What is old, too much or something else is left out.
func TestWhatIsForgotten(t *testing.T) {
	d, path := in(t)
	if err := d.Wrote("5@one"); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"6@two": 25 * time.Hour, "7@three": -25 * time.Hour, "8@four": time.Hour, "no revision": 0} {
		file := filepath.Join(path, "revisions", name)
		if err := os.WriteFile(file, []byte("whatever"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if got := sorted(d); got != "5@one,8@four" {
		t.Errorf("%q", got)
	}
	for i := range 100 {
		if err := d.Wrote(fmt.Sprintf("%d@store%d", i+1, i)); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := os.ReadDir(filepath.Join(path, "revisions")); err != nil || len(files) > maxFiles+1 {
		t.Errorf("%d files, %v", len(files), err)
	}
	if n := strings.Count(d.Revisions(), "@"); n > maxFiles || !strings.Contains(d.Revisions(), "100@store99") {
		t.Errorf("%d: %s", n, d.Revisions())
	}
}

// Commands that run at the same time do not lose what others have written.
func TestSeveralCommandsAtOnce(t *testing.T) {
	d, _ := in(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 25 {
				if err := d.Wrote(fmt.Sprintf("%d@one", n*8+i+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if !strings.Contains(","+d.Revisions()+",", ",200@one,") {
		t.Errorf("the last write is lost: %s", d.Revisions())
	}
}

func TestCores(t *testing.T) {
	d, path := in(t)
	list := []string{"http://a", "http://u:secret@b", "http://c"}
	if got := d.Core(list); got != "" {
		t.Errorf("%q", got)
	}
	if err := d.Answered(list, list[1]); err != nil {
		t.Fatal(err)
	}
	if got := d.Core(list); got != list[1] {
		t.Errorf("%q", got)
	}
	if got := d.Core(list[:2]); got != "" {
		t.Errorf("another list: %q", got)
	}
	files, err := os.ReadDir(filepath.Join(path, "cores"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	file := filepath.Join(path, "cores", files[0].Name())
	content, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(content), "secret") {
		t.Errorf("%q, %v", content, err)
	}
	for _, spoilt := range []string{"", "http://evil", strings.Repeat("x", 1<<20)} {
		if err := os.WriteFile(file, []byte(spoilt), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := d.Core(list); got != "" {
			t.Errorf("%.20q: %q", spoilt, got)
		}
	}
	if err := d.Answered(list, list[2]); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(-11*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := d.Core(list); got != "" {
		t.Errorf("after 11 minutes: %q", got)
	}
	if err := d.Answered(list, list[2]); err != nil {
		t.Fatal(err)
	}
	if err := d.Answered(list, list[0]); err != nil || d.Core(list) != "" {
		t.Errorf("the first one: %q, %v", d.Core(list), err)
	}
}

// A directory that cannot be used remembers nothing.
func TestNowhere(t *testing.T) {
	for what, d := range map[string]Dir{"without a home": In(func(string) string { return "" }), "a file": {path: "/dev/null"}} {
		err := d.Wrote("1@one")
		if (err != nil) != (what == "a file") || d.Revisions() != "" || d.Core([]string{"a", "b"}) != "" {
			t.Errorf("%s: %v, %q", what, err, d.Revisions())
		}
	}
}
