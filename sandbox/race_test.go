//go:build race

package sandbox_test

// The race detector keeps memory of its own for all that was ever used.
const racing = true
