//go:build race

package sandbox_test

// The race detector keeps memory of its own for all memory that was ever used.
const racing = true
