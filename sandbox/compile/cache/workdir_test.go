package cache

import (
	"log/slog"
	"os"
	"sync"
	"testing"
)

// Compilers come and go on one directory at the same time. Those that begin
// remove what others left, and must not disturb those that end.
func TestWorkdirsComeAndGo(t *testing.T) {
	private := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				w, err := newWorkdir(private, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(w.path("code"), nil, 0o600); err != nil {
					t.Error(err)
				}
				if err := w.close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	entries, err := os.ReadDir(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			t.Errorf("%s is left over", e.Name())
		}
	}
}
