package table

import (
	"cmp"
	"os"
	"runtime"
	"strings"
	"time"
)

// Machine is where and when a run was measured. It names no host.
type Machine struct {
	Date   string `json:"date"` // the day, UTC
	CPUs   int    `json:"cpus"`
	Model  string `json:"model,omitempty"` // of the CPUs
	System string `json:"system"`          // such as linux/amd64 6.8
	Go     string `json:"go"`
	Load   string `json:"load"` // load average of the last minute when the run began
}

// ThisMachine describes the machine that it runs on.
func ThisMachine() Machine {
	return Machine{
		Date:   time.Now().UTC().Format(time.DateOnly),
		CPUs:   runtime.NumCPU(),
		Model:  model(),
		System: strings.TrimSpace(runtime.GOOS + "/" + runtime.GOARCH + " " + kernel()),
		Go:     runtime.Version(),
		Load:   Load(),
	}
}

// Load returns the load average of the last minute.
func Load() string {
	first, _, _ := strings.Cut(read("/proc/loadavg"), " ")
	return cmp.Or(first, "unknown")
}

// kernel returns the version of the kernel without what its builder has added.
func kernel() string {
	version := read("/proc/sys/kernel/osrelease")
	for i, r := range version {
		if r != '.' && (r < '0' || r > '9') {
			return version[:i]
		}
	}
	return version
}

func model() string {
	for line := range strings.Lines(read("/proc/cpuinfo")) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// read returns the content of a file of the kernel; empty if there is none.
func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
