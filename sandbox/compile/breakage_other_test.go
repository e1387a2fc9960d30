//go:build !linux

package compile_test

// mounted needs file systems that can be mounted.
func mounted(map[string]breakage) {}
