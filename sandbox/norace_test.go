//go:build !race

package sandbox_test

const racing = false
