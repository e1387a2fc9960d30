package etcdembed

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func TestADataDirectoryThatIsDeletedIsNoticed(t *testing.T) {
	for what, remove := range map[string]func(dir string) error{
		"deleted":      os.RemoveAll,
		"moved away":   func(dir string) error { return os.Rename(dir, dir+"-away") },
		"database":     func(dir string) error { return os.Remove(filepath.Join(dir, "member", "snap", "db")) },
		"log":          func(dir string) error { return os.RemoveAll(filepath.Join(dir, "member", "wal")) },
		"files of log": func(dir string) error { return deleteAll(filepath.Join(dir, "member", "wal", "*.wal")) },
		"put in its place": func(dir string) error {
			if err := os.Rename(dir, dir+"-away"); err != nil {
				return err
			}
			return os.CopyFS(dir, os.DirFS(dir+"-away"))
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			s, err := Start(t.Context(), Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			put(t, s.Client(), "a", "1")
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			if err := remove(dir); err != nil {
				t.Fatal(err)
			}
			err = s.Check()
			if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != fault.DataDirLost || e.Fix == "" || e.Meta["path"] != dir {
				t.Errorf("%v, want DATA_DIR_LOST", err)
			}
			began := time.Now()
			_ = s.Close() // the server may have failed
			if took := time.Since(began); took > failedTimeout+2*time.Second {
				t.Errorf("the end took %v", took)
			}
		})
	}
}

func deleteAll(pattern string) error {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	return nil
}

// A server that goes on without its files fails at its next snapshot. Close is
// bounded all the same.
func TestAServerWithoutItsDirectoryEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	s, err := Start(t.Context(), Config{Dir: dir, UnsafeNoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	failed := false
	for i := 0; i < 3*snapshotEvery && !failed; i++ {
		_, err := s.Client().Put(t.Context(), "a", "1")
		failed = err != nil
		failed = failed || s.stopped() != nil
	}
	t.Logf("failed: %t", failed)
	began := time.Now()
	_ = s.Close()
	if took := time.Since(began); took > failedTimeout+2*time.Second {
		t.Errorf("the end took %v", took)
	}
	if err := s.Check(); !errors.Is(err, fault.DataDirLost) {
		t.Errorf("%v, want DATA_DIR_LOST", err)
	}
}

func BenchmarkCheck(b *testing.B) {
	s, err := Start(b.Context(), Config{Dir: b.TempDir(), UnsafeNoFsync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if err := s.Check(); err != nil {
			b.Fatal(err)
		}
	}
}
