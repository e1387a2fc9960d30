package wholefile_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/wholefile"
)

func begin(t *testing.T, path, content string) *wholefile.File {
	t.Helper()
	f, err := wholefile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Discard)
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return f
}

// only checks that a directory has one file, and what is in it.
func only(t *testing.T, path, content string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("the directory has %v", entries)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("%q, %v; want %q", got, err, content)
	}
}

func TestAFileIsReplacedWhenItIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	f := begin(t, path, "old")
	if err := f.Keep(); err != nil {
		t.Fatal(err)
	}
	f.Discard() // does nothing any more
	only(t, path, "old")

	f = begin(t, path, "new")
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("%q, %v while it is replaced", got, err)
	}
	if err := f.Keep(); err != nil {
		t.Fatal(err)
	}
	only(t, path, "new")
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

func TestADiscardedFileLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := begin(t, path, "old").Keep(); err != nil {
		t.Fatal(err)
	}
	f := begin(t, path, "half")
	f.Discard()
	f.Discard()
	only(t, path, "old")
}

func TestAFileThatCannotBeKeptLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "data")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := begin(t, path, "new")
	if err := f.KeepAs(filepath.Join(dir, "missing", "data")); err == nil {
		t.Error("it was kept in a directory that does not exist")
	}
	only(t, path, "old")
}

func TestWhatIsReadHasALimit(t *testing.T) {
	const limit = 1 << 20
	text := strings.Repeat("x", limit)
	if got, err := wholefile.ReadAll(strings.NewReader(text), limit); err != nil || string(got) != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	f := begin(t, filepath.Join(t.TempDir(), "large"), "")
	if err := f.Truncate(limit + 1); err != nil {
		t.Fatal(err)
	}
	for _, large := range []io.Reader{strings.NewReader(text + "x"), f} {
		if got, err := wholefile.ReadAll(large, limit); err == nil || err.Error() != "it has more than 1 MiB, the limit" || got != nil {
			t.Errorf("%T: %d bytes, %v", large, len(got), err)
		}
	}
}

func TestOnlyAFileIsReplaced(t *testing.T) {
	for _, path := range []string{t.TempDir(), os.DevNull} {
		if f, err := wholefile.Create(path); err == nil || !strings.HasSuffix(err.Error(), "it is not a regular file") {
			t.Errorf("%s: %v", path, err)
			f.Discard()
		}
	}
}
