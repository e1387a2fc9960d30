//go:build race

package compile_test

// slow is the factor by which the race detector slows the compiler down and
// increases its memory, at least.
const slow = 6
