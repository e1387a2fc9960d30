package sandbox

import "time"

// Limits of one call. A field that is zero or less means its default.
type Limits struct {
	// Memory of the guest in bytes, in whole pages of 64 KiB, at least one; 128 MiB.
	// The most is 4 GiB less a page.
	Memory uint64
	// Timeout of a call by the clock, from making the instance to its answer;
	// 10 s. A caller's own deadline counts where it is sooner.
	Timeout time.Duration
	// Input, Output and Logs in bytes; 4 MiB, 4 MiB and 64 KiB.
	Input, Output, Logs int64
}

const (
	page      = 65536
	maxMemory = 65535 * page
)

// WithDefaults fills in what is not set and brings Memory to whole pages.
func (l Limits) WithDefaults() Limits {
	if l.Memory == 0 {
		l.Memory = 128 << 20
	}
	l.Memory = min(max(l.Memory, page), maxMemory) / page * page
	if l.Timeout <= 0 {
		l.Timeout = 10 * time.Second
	}
	if l.Input <= 0 {
		l.Input = 4 << 20
	}
	if l.Output <= 0 {
		l.Output = 4 << 20
	}
	if l.Logs <= 0 {
		l.Logs = 64 << 10
	}
	return l
}
