//go:build !linux && !darwin

package confine

import (
	"os"
	"syscall"
)

// Attr returns nil.
func Attr() *syscall.SysProcAttr { return nil }

// Kill ends a child.
func Kill(p *os.Process) error { return p.Kill() }

// HideDescriptors does nothing.
func HideDescriptors() {}
