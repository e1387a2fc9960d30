package compile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mounted adds what needs a file system of its own.
func mounted(all map[string]breakage) {
	all["full"] = breakage{mount, func(t *testing.T, dir string) func() {
		ballast := filepath.Join(dir, "ballast")
		for size := 1 << 20; size > 0; size /= 2 { // to the last byte
			f, err := os.OpenFile(ballast, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = f.Write(bytes.Repeat([]byte{1}, size))
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return func() { remove(t, ballast) }
	}}
	all["read-only"] = breakage{mount, func(t *testing.T, dir string) func() {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, "mode=0700"); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
		}
	}}
}

// mount puts a small file system at dir. It skips the test without the right to.
func mount(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m,mode=0700"); err != nil {
		t.Skipf("a file system of its own cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
