//go:build !linux

package modules_test

import "testing"

func full(t *testing.T, _ string)     { t.Skip("needs a file system that can be mounted") }
func readOnly(t *testing.T, _ string) { t.Skip("needs a file system that can be mounted") }
func lift(*testing.T, string)         {}
