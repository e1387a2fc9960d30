//go:build !linux && !darwin

package compile

import (
	"os"
	"syscall"
)

func childAttr() *syscall.SysProcAttr { return nil }

func kill(p *os.Process) error { return p.Kill() }

func hideDescriptors() {}
