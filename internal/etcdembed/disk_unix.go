//go:build linux || darwin

package etcdembed

import "golang.org/x/sys/unix"

// freeSpace returns how many bytes an ordinary user can still write to the disk
// of a directory.
func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// writeAccess returns an error if this process cannot write to a directory.
func writeAccess(dir string) error { return unix.Access(dir, unix.W_OK) }
