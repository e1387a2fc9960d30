package pristine

import "time"

// Cost is what one restore took.
type Cost struct {
	// Path is the way that was taken.
	Path Path
	// Pages is how many pages of the system (usually 4 KiB) were written.
	Pages int
	// Took is the time of the restore.
	Took time.Duration
}

// Path is what a restore did.
type Path uint8

// The paths, from cheap to dear.
const (
	// PathHot copied back the known private pages.
	PathHot Path = iota
	// PathScan asked the kernel for the private pages and copied them back.
	PathScan
	// PathCopy compared all pages.
	PathCopy
	// PathDrop gave private pages back to the system, all or those behind the
	// snapshot; the next call takes page faults again.
	PathDrop
)

// String gives the path's name.
func (p Path) String() string { return nameOf(p, "hot", "scan", "copy", "drop") }
