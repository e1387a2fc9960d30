package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestChangesAreSeen(t *testing.T) {
	dir := t.TempDir()
	main := filepath.Join(dir, "main.go")
	put(t, main, "one")
	tree, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(){
		"another size": func() { put(t, main, "two and more") },
		"another time": func() {
			if err := os.Chtimes(main, time.Time{}, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		},
		"a file inside": func() { put(t, filepath.Join(dir, "in", "side.go"), "x") },
		"replaced": func() {
			put(t, filepath.Join(dir, "new"), "as editors do")
			if err := os.Rename(filepath.Join(dir, "new"), main); err != nil {
				t.Fatal(err)
			}
		},
		"removed": func() {
			put(t, filepath.Join(dir, "gone.go"), "x")
			if err := tree.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(dir, "gone.go")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := tree.Next(ctx); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		cancel()
	}
}

func TestWhatBuildsWriteIsNotAChange(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "main.go"), "one")
	before, err := look(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out.wasm", ".main.go.swp", "main.go~", "#main.go#", "target/x", "node_modules/x/y.js", ".ruedo/store/db"} {
		put(t, filepath.Join(dir, name), "x")
	}
	if after, err := look(dir); err != nil || !equal(before, after) {
		t.Errorf("%v, %v", after, err)
	}
}

func TestNextEnds(t *testing.T) {
	dir := t.TempDir()
	tree, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tree.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := tree.Next(t.Context()); err == nil {
		t.Error("a directory that is gone")
	}
	if _, err := New(dir); err == nil {
		t.Error("a directory that does not exist")
	}
}
