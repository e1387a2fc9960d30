package sandbox

import (
	"testing"
	"unsafe"
)

func TestLimitsDefaults(t *testing.T) {
	l := Limits{}.WithDefaults()
	if l.Memory != 128<<20 || l.Timeout.Seconds() != 10 || l.Input != 4<<20 || l.Output != 4<<20 || l.Logs != 64<<10 {
		t.Errorf("got %+v", l)
	}
	if h := (Limits{}).WithHTTPDefaults(); h.Timeout.Minutes() != 1 || h.CPU.Minutes() != 1 || h.Idle.Minutes() != 5 || h.Input != 64<<20 || h.Output != 64<<20 {
		t.Errorf("kind http: got %+v", h)
	}
	for in, want := range map[uint64]uint64{1: 65536, 65537: 65536, 200_000: 196_608, 1 << 40: 65534 * 65536} {
		if got := (Limits{Memory: in}).WithDefaults().Memory; got != want {
			t.Errorf("memory of %d: got %d, want %d", in, got, want)
		}
	}
}

// A call of kind function pays nothing for streams: what only a call of kind http
// needs is behind pointers. Beyond this size, each call would allocate more.
func TestACallIsSmall(t *testing.T) {
	if size, most := unsafe.Sizeof(call{}), uintptr(384); size > most {
		t.Errorf("a call has %d bytes, more than %d", size, most)
	}
}
