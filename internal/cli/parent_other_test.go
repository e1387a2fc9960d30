//go:build !linux

package cli_test

import "syscall"

// dieWithParent works on Linux only; elsewhere a failing test leaves its
// processes running.
func dieWithParent() *syscall.SysProcAttr { return nil }
