package confine

import (
	"bytes"
	"os"
	"strconv"
)

// firstToDie makes the kernel kill this process, rather than its parent, when
// memory runs out. A system that does not allow that does not need it.
func firstToDie() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) }

// mapped returns what of this process counts against RLIMIT_DATA and RLIMIT_AS, in
// bytes.
func mapped() (data, space uint64) {
	data, space = 1<<30, 4<<30 // generous, if /proc is missing
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return data, space
	}
	// size resident shared text lib data dt, in pages
	if f := bytes.Fields(text); len(f) >= 6 {
		page := uint64(os.Getpagesize())
		if n, err := strconv.ParseUint(string(f[0]), 10, 64); err == nil {
			space = n * page
		}
		if n, err := strconv.ParseUint(string(f[5]), 10, 64); err == nil {
			data = n * page
		}
	}
	return data, space
}
