package project

import (
	"os"
	"path/filepath"
	"testing"
)

func TestGoIsAskedOnlyIfThereCanBeAWorkspace(t *testing.T) {
	root := t.TempDir()
	with, without := filepath.Join(root, "with", "a", "b"), filepath.Join(root, "without", "a")
	link := filepath.Join(root, "without", "link")
	for _, dir := range []string{with, without} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "with", "go.work"), []byte("go 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(with, link); err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct {
		dir  string
		env  []string
		want bool
	}{
		{with, nil, true},
		{link, nil, true},
		{without, nil, false},
		{without, []string{"HOME=/", "GOWORK=/x/go.work"}, true},
	} {
		if got := mayHaveWorkspace(tt.dir, tt.env); got != tt.want {
			t.Errorf("%s %v: %t", tt.dir, tt.env, got)
		}
	}
}
