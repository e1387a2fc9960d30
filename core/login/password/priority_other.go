//go:build !unix

package password

import (
	"syscall"
	"time"
)

// supported says that a process can have a priority.
const supported = false

func attr() *syscall.SysProcAttr { return nil }

func yield() error { return nil }

func processorTime() time.Duration { return 0 }
