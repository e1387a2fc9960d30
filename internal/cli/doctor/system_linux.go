package doctor

import (
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fileLimit returns how many files this process can have open; Go raises the
// limit as far as it may.
func fileLimit() uint64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return r.Max
}

// clockSynchronised reports whether a time service keeps the clock.
func clockSynchronised() (synchronised, known bool) {
	state, err := unix.Adjtimex(&unix.Timex{})
	return state != unix.TIME_ERROR, err == nil
}

// memoryLimit returns how much memory there is for this process, and who says
// so: its control group, or the machine. Zero if that is not known.
func memoryLimit() (bytes uint64, where string) {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		bytes, where = uint64(info.Totalram)*uint64(info.Unit), "this machine"
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return bytes, where
	}
	for line := range strings.Lines(string(groups)) {
		dir, found := strings.CutPrefix(strings.TrimSpace(line), "0::") // version 2
		for ; found && dir != "/" && dir != "."; dir = path.Dir(dir) {
			if n, ok := readLimit(path.Join("/sys/fs/cgroup", dir, "memory.max")); ok && (bytes == 0 || n < bytes) {
				bytes, where = n, "the control group of this process"
			}
		}
	}
	// In a container its own group is the root.
	if n, ok := readLimit("/sys/fs/cgroup/memory.max"); ok && (bytes == 0 || n < bytes) {
		bytes, where = n, "the control group of this process"
	}
	return bytes, where
}

func readLimit(file string) (uint64, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil // "max" is no limit
}

// room returns the free space of a disk.
func room(dir string) (bytes uint64, known bool) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true
}
