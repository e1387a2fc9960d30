//go:build !linux || !(amd64 || arm64)

package pristine

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
