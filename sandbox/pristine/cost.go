package pristine

import "time"

// Cost describes one restore.
type Cost struct {
	// Path is the path that the restore took.
	Path Path
	// Pages is how many system pages (usually of 4 KiB) were written.
	Pages int
	// Took is the duration of the restore.
	Took time.Duration
}

// Path says what a restore did.
type Path uint8

// The paths, cheapest first.
const (
	// PathHot copied back the known private pages.
	PathHot Path = iota
	// PathScan asked the kernel for the private pages and copied them back.
	PathScan
	// PathCopy compared all pages.
	PathCopy
	// PathDrop returned private pages to the system: all of them, or those behind
	// the snapshot. The next call takes page faults again.
	PathDrop
)

// String returns the path's name.
func (p Path) String() string { return nameOf(p, "hot", "scan", "copy", "drop") }
