//go:build race

package compile_test

// slow is by how much the race detector slows the compiler down and swells it, at
// least.
const slow = 6
