//go:build !unix

package password

import "syscall"

// supported says that a process can have a priority.
const supported = false

func attr() *syscall.SysProcAttr { return nil }

func yield() error { return nil }
