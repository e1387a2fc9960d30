//go:build !race

package instrument_test

// share is how much of the long tests runs: one in share.
const share = 1
