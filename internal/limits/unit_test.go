package limits_test

import (
	"testing"

	"github.com/ruedo-dev/ruedo/internal/limits"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "1000": 1000, "64KiB": 64 << 10, "64 MiB": 64 << 20, "1.5GiB": 3 << 29, "500kB": 500_000, "1M": 1_000_000, "2Gi": 2 << 30, "7B": 7,
		"1500 bytes": 1500, "1 byte": 1,
	} {
		if got, ok := limits.ParseSize(text); !ok || got != want {
			t.Errorf("%q = %d, %v; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-1", "MiB", "1.5", "1e9", "64 mib", "1TiB", "99999999999999", "1 M i B", "1.5 bytes", "1 Mibytes", "bytes"} {
		if got, ok := limits.ParseSize(text); ok {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[uint64][2]string{
		0: {"0 bytes", "0 bytes"}, 1: {"1 byte", "1 byte"}, 1023: {"1023 bytes", "1023 bytes"}, 1024: {"1 KiB", "1 KiB"},
		1500: {"1500 bytes", "1.5 KiB"}, 3 << 29: {"1536 MiB", "1.5 GiB"}, 64 << 20: {"64 MiB", "64 MiB"}, 3_900_000: {"3900000 bytes", "3.7 MiB"},
		1040 << 20: {"1040 MiB", "1 GiB"}, 5 << 40: {"5120 GiB", "5120 GiB"},
	} {
		if got := limits.FormatSize(n); got != want[0] {
			t.Errorf("FormatSize(%d) = %s, want %s", n, got, want[0])
		}
		if got := limits.RoundSize(n); got != want[1] {
			t.Errorf("RoundSize(%d) = %s, want %s", n, got, want[1])
		}
	}
}

// FuzzUnits checks that every formatted value parses back: no unit rounds.
func FuzzUnits(f *testing.F) {
	for _, n := range []uint64{1, 999, 1024, 1500, 3 << 29, 1<<32 + 1, 60_000_000_000, 90_500_000_001} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n uint64) {
		n = max(n%1_000_000_000_000, 1)
		for _, u := range []limits.Unit{limits.Size, limits.Duration, limits.Count} {
			text := u.Format(n)
			if got, ok := u.Parse(text); !ok || got != n {
				t.Errorf("%d is shown as %q, which is read as %d, %v", n, text, got, ok)
			}
		}
	})
}
