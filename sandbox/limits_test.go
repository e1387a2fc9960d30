package sandbox

import (
	"strings"
	"testing"
)

func TestLimitsDefaults(t *testing.T) {
	l := Limits{}.WithDefaults()
	if l.Memory != 128<<20 || l.Timeout.Seconds() != 10 || l.Input != 4<<20 || l.Output != 4<<20 || l.Logs != 64<<10 {
		t.Errorf("got %+v", l)
	}
	for in, want := range map[uint64]uint64{1: 65536, 65537: 65536, 200_000: 196_608, 1 << 40: 65534 * 65536} {
		if got := (Limits{Memory: in}).WithDefaults().Memory; got != want {
			t.Errorf("memory of %d: got %d, want %d", in, got, want)
		}
	}
}

func TestLastLines(t *testing.T) {
	long := strings.Repeat("ñ", 10)
	for in, want := range map[string]string{
		"": "", "a\n": "a\n", "one\ntwoo\nthree\n": "three\n", long + "\n": "ññññ\n", long + "\nend\n": "end\n",
	} {
		if got := lastLines([]byte(in), 10); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
