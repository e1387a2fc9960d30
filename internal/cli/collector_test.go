package cli

import (
	"math"
	"testing"
)

func TestGarbageIsBounded(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 400, 4 << 20: 400, 40 << 20: 400, 41 << 20: 375, 64 << 20: 250, 80 << 20: 200, 160 << 20: 200, 1 << 30: 200, math.MaxUint64: 200,
	} {
		if got := percentFor(live); got != want {
			t.Errorf("with %d bytes in use: %d %%, want %d", live, got, want)
		}
	}
}
