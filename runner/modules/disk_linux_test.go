package modules_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// full and readOnly mount such a file system over dir until lift. They skip the
// test if they lack the permission.
func full(t *testing.T, dir string)     { mount(t, dir, 0, "size=64k,mode=0700") }
func readOnly(t *testing.T, dir string) { mount(t, dir, unix.MS_RDONLY, "mode=0700") }

func mount(t *testing.T, dir string, flags uintptr, options string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Skipf("a file system of its own cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // unless lifted
}

func lift(t *testing.T, dir string) { must(t, unix.Unmount(dir, unix.MNT_DETACH)) }
