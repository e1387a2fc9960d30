//go:build !linux && !darwin

package confine

import (
	"errors"
	"os"
	"time"
)

// Supported reports whether this system can limit a process.
const Supported = false

// Self fails.
func Self(Limits) (<-chan os.Signal, error) {
	return nil, errors.New("this system has no limits for processes")
}

// CPUTime returns 0.
func CPUTime() time.Duration { return 0 }
