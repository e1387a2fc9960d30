//go:build linux || darwin

package confine

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Supported reports whether this system can limit a process.
const Supported = true

// Self limits this process. The channel receives a value when the CPU time is
// used up; the process is killed after one more second of CPU time. The limits
// cannot be lifted again, and the handling of SIGXCPU and SIGXFSZ changes
// permanently.
func Self(limits Limits) (<-chan os.Signal, error) {
	overCPU := make(chan os.Signal, 1)
	signal.Notify(overCPU, unix.SIGXCPU)
	signal.Ignore(unix.SIGXFSZ) // writing fails instead
	firstToDie()
	if limits.Nice > 0 {
		// Of the whole process group, as threads have a niceness of their own.
		if err := unix.Setpriority(unix.PRIO_PGRP, 0, limits.Nice); err != nil {
			return nil, fmt.Errorf("priority: %w", err)
		}
	}
	cpu := uint64((limits.CPU + time.Second - 1) / time.Second)
	// Go keeps large parts of its address space mapped that it never uses, some
	// hundred MB of them writable. So the limits count from what is mapped now,
	// and are somewhat wider than what [Watch] enforces.
	data, space := mapped()
	slack := uint64(limits.Memory)/4 + 128<<20
	for _, l := range []struct {
		name       string
		what       int
		soft, hard uint64
		must       bool
	}{
		{"core", unix.RLIMIT_CORE, 0, 0, true},
		{"file size", unix.RLIMIT_FSIZE, uint64(limits.FileSize), uint64(limits.FileSize), true},
		{"open files", unix.RLIMIT_NOFILE, 64, 64, true},
		{"CPU time", unix.RLIMIT_CPU, cpu, cpu + 1, true},
		// macOS has these two and mostly ignores or refuses them.
		{"data", unix.RLIMIT_DATA, data + uint64(limits.Memory) + slack, 0, runtime.GOOS == "linux"},
		{"address space", unix.RLIMIT_AS, space + uint64(limits.Memory) + slack + 1<<30, 0, runtime.GOOS == "linux"},
	} {
		if err := lower(l.what, l.soft, max(l.soft, l.hard)); err != nil && l.must {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return overCPU, nil
}

// lower sets a limit, unless the present one is stricter.
func lower(what int, soft, hard uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(what, &now); err != nil {
		return err
	}
	now.Cur, now.Max = min(now.Cur, soft, hard), min(now.Max, hard)
	return unix.Setrlimit(what, &now)
}

// CPUTime returns what this process has used so far.
func CPUTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
