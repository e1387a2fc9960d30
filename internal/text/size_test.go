package text_test

import (
	"testing"

	"github.com/ruedo-dev/ruedo/internal/text"
)

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 100: "100 bytes", 1536: "1.5 KiB", 32 << 20: "32 MiB", 39_845_888: "38 MiB", 5 << 30: "5 GiB"} {
		if got := text.Size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int]string{2 << 20: "2 MiB", 1<<20 + 1: "1 MiB (1048577 bytes)", 3: "3 bytes"} {
		if got := text.Over(n, 1<<20); got != want {
			t.Errorf("%d over 1 MiB is %q, want %q", n, got, want)
		}
	}
}
