//go:build !linux || !(amd64 || arm64)

package pristine

import "time"

// cpuTime is not known on this system.
func cpuTime() time.Duration { return 0 }
