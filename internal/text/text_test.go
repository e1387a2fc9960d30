package text_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/text"
)

func TestCountsAndLists(t *testing.T) {
	for got, want := range map[string]string{
		text.Count(0, "field"):           "0 fields",
		text.Count(1, "field"):           "1 field",
		text.Count(2, "field"):           "2 fields",
		text.List(nil, 0):                "",
		text.List([]string{"a", "b"}, 2): "a, b",
		text.List([]string{"a", "b"}, 3): "a, b and 1 other",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestACauseNamesNoPath(t *testing.T) {
	_, err := os.Open(filepath.Join(t.TempDir(), "x"))
	if got := text.Cause(err); got != syscall.ENOENT.Error() {
		t.Errorf("%q", got)
	}
	err = os.Rename(filepath.Join(t.TempDir(), "x"), "y")
	if got := text.Cause(err); got != syscall.ENOENT.Error() {
		t.Errorf("%q", got)
	}
	if got := text.Cause(errors.New("other")); got != "other" {
		t.Errorf("%q", got)
	}
}
