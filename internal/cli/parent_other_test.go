//go:build !linux

package cli_test

import "syscall"

// dieWithParent is for Linux; elsewhere the test that fails leaves its processes.
func dieWithParent() *syscall.SysProcAttr { return nil }
