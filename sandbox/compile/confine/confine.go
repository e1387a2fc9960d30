// Package confine limits a process and its children by means of the system.
//
// A parent starts a child with [Attr], ends it with [Kill], and calls
// [HideDescriptors] before. The child calls [Self] and [Watch] before it reads
// anything that it does not trust:
//
//	overCPU, err := confine.Self(confine.Limits{CPU: 12 * time.Second, Memory: 1 << 30})
//	memory := confine.Watch(1 << 30)
//	select {
//	case <-overCPU:
//	case <-memory.Over:
//	case answer := <-work:
//	}
//
// Linux and macOS have limits; see [Supported].
package confine

import "time"

// Limits of a process.
type Limits struct {
	// CPU is the processor time of all threads, rounded up to seconds.
	CPU time.Duration
	// Memory in bytes, in addition to what the process has mapped already.
	Memory int64
	// FileSize is the largest file that the process can write, in bytes.
	FileSize int64
	// Nice is added to the niceness of the process group; 0 keeps it.
	Nice int
}
