package port

import (
	"net/http/httptest"
	"testing"
	"time"
)

// Where there is no room, the slowest peer has to go; but one that moves bytes
// quickly does not, although the watch has seen it only when it had just begun.
func TestOnlyASlowPeerMakesRoom(t *testing.T) {
	s := New(Config{})
	begin := func() *exchange {
		x := &exchange{s: s, route: &route{Bounds: Bounds{Total: time.Minute}}, w: httptest.NewRecorder()}
		if !s.inflight.Add(&x.place, x, 10) {
			t.Fatal("it was not let in")
		}
		x.phase.Store(reading)
		return x
	}
	fast, still := begin(), begin()
	s.look(tick) // immediately after both began
	fast.moved.Add(4 << 20)
	s.endSlowest(reading)
	if fast.late.Load() || still.late.Load() {
		t.Fatal("a peer was ended that had no time to send")
	}
	s.look(tick)
	fast.phase.Store(working)
	fresh := begin()
	s.look(tick)
	fresh.moved.Add(1 << 20)
	s.endSlowest(reading)
	if fast.late.Load() || fresh.late.Load() || !still.late.Load() {
		t.Errorf("ended: the fast one %t, the one that has just begun %t, the one that stands still %t; want the last only", fast.late.Load(), fresh.late.Load(), still.late.Load())
	}
	still.moved.Add(1)
	fast.phase.Store(reading)
	s.endSlowest(reading)
	if fast.late.Load() {
		t.Error("a peer was ended that has sent 4 MiB in a tick")
	}
}
