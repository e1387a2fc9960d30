package compile_test

import (
	"os"
	"path/filepath"
	"testing"
)

// breakage is a way in which a directory cannot be used.
type breakage struct {
	// prepare returns the path to use instead of one that was planned.
	prepare func(t *testing.T, dir string) string
	// do breaks the directory until mend.
	do func(t *testing.T, dir string) (mend func())
}

func same(_ *testing.T, dir string) string { return dir }

// breakages are those that work here: each system has the first.
func breakages() map[string]breakage {
	all := map[string]breakage{
		"a file in its place": {same, func(t *testing.T, dir string) func() {
			remove(t, dir)
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return func() { remove(t, dir) }
		}},
		"a file in place of its parent": {
			func(_ *testing.T, dir string) string { return filepath.Join(dir, "within") },
			func(t *testing.T, dir string) func() {
				parent := filepath.Dir(dir)
				remove(t, parent)
				if err := os.WriteFile(parent, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				return func() { remove(t, parent) }
			},
		},
	}
	if os.Geteuid() != 0 { // for root there are no permissions
		all["no permission"] = breakage{same, func(t *testing.T, dir string) func() {
			top := filepath.Dir(dir)
			remove(t, dir)
			if err := os.Chmod(top, 0o500); err != nil {
				t.Fatal(err)
			}
			mend := func() {
				if err := os.Chmod(top, 0o700); err != nil {
					t.Error(err)
				}
			}
			t.Cleanup(mend)
			return mend
		}}
	}
	mounted(all)
	return all
}
