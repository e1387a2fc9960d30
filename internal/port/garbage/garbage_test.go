package garbage

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// waste leaves n bytes of garbage that nobody has counted.
func waste(n int) {
	for ; n > 0; n -= 1 << 10 {
		kept = make([]byte, 1<<10)
	}
	kept = nil
}

var kept []byte

// collections returns how many garbage collections f caused.
func collections(f func()) uint32 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.NumGC - before.NumGC
}

func TestGarbageOfSmallRequests(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nobody else collects
	c := New()
	calm := func() { c.Tick(0) }
	for range calmTicks {
		calm()
	}

	waste(2 * heaped)
	if n := collections(calm); n != 0 {
		t.Errorf("%d collections at the tick that allocated", n)
	}
	waste(calmBytes)
	if n := collections(calm); n != 0 {
		t.Errorf("%d collections while there is work", n)
	}
	n := collections(func() {
		for range calmTicks {
			calm()
		}
	})
	if left := c.read().garbage; n == 0 || left > heaped/4 {
		t.Errorf("%d collections after %d calm ticks, %d bytes of garbage left", n, calmTicks, left)
	}

	calm() // returns it
	waste(heaped / 2)
	if n := collections(func() {
		for range 4 * calmTicks {
			calm()
		}
	}); n != 0 {
		t.Errorf("%d collections for less garbage than is worth one", n)
	}
}

// Memory that the runtime has collected still belongs to the process.
func TestGarbageThatWasCollected(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	c := New()
	for range calmTicks {
		c.Tick(0)
	}
	waste(2 * heaped)
	runtime.GC()
	c.Tick(0)
	for range calmTicks + 1 {
		c.Tick(0)
	}
	if left := c.read().free; left > heaped/4 {
		t.Errorf("%d bytes of %d were not returned after %d calm ticks", left, 2*heaped, calmTicks)
	}
}

// What was in use at the last collection can be garbage a moment later, when there is
// nothing left to do, and then there is as little reason to collect as before.
func TestGarbageThatWasInUseUntilTheEnd(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	c := New()
	held := make([]byte, 4*heaped)
	c.Tick(0)
	runtime.GC()
	c.Tick(0)
	runtime.KeepAlive(held)
	held = nil
	n := collections(func() {
		for range longCalm + 1 {
			c.Tick(0)
		}
	})
	if left := c.read(); n == 0 || left.live >= heaped {
		t.Errorf("%d collections after %d calm ticks, %d bytes count as in use", n, longCalm, left.live)
	}

	held = make([]byte, 2*heaped)
	runtime.GC()
	for range 2 { // one looks, the other one returns
		c.Tick(0)
	}
	c.calm, c.sure = longCalm, false
	if n := collections(func() {
		for range 4 * longCalm {
			c.Tick(0)
		}
	}); n > 2 { // FreeOSMemory collects, too
		t.Errorf("%d collections while nothing happens", n)
	}
	runtime.KeepAlive(held)
}

// What new connections hold looks like garbage until a collection has found that it
// is not, which would cost all calls time, for nothing.
func TestGarbageThatNewConnectionsHold(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	c := New()
	c.Tick(0)
	held := make([]byte, 2*heaped)
	c.Tick(2 * many)
	if n := collections(func() {
		for range 4 * calmTicks {
			c.Tick(2 * many)
		}
	}); n != 0 {
		t.Errorf("%d collections while new connections are open", n)
	}
	runtime.KeepAlive(held)
}

func TestGarbageOfLargeRequests(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	c := New()
	c.Tick(0)
	c.Spent(large - 1)
	c.Spent(worthwhile)
	if n := collections(func() { c.Tick(0) }); n != 0 {
		t.Errorf("%d collections while large requests come", n)
	}
	if n := collections(func() { c.Tick(0) }); n == 0 {
		t.Error("no collection after the last large request")
	}

	select {
	case <-c.Much():
		t.Error("a collection is due without garbage")
	default:
	}
	waste(2 * much)
	c.Spent(much)
	<-c.Much()
	if n := collections(c.Collect); n == 0 {
		t.Error("no collection although much garbage was counted")
	}
}

// A process that holds much collects less often: to look through it costs more than
// the memory that it saves.
func TestGarbageNextToMuchThatIsInUse(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	held := make([]byte, 4*much)
	runtime.GC()
	c := New()
	collect := func() {
		c.Spent(much)
		<-c.Much()
		c.Collect()
	}
	waste(2 * much)
	if n := collections(collect); n != 0 {
		t.Errorf("%d collections although more is in use than garbage", n)
	}
	c.last = time.Time{}
	waste(3 * much)
	if n := collections(collect); n == 0 {
		t.Error("no collection although there is more garbage than is in use")
	}
	runtime.KeepAlive(held)
}

func TestGarbageOfTheStart(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	c := New()
	c.Started()
	for i, want := range []bool{true, true, false} { // collected, returned, nothing left
		if n := collections(func() { c.Tick(1) }); (n > 0) != want {
			t.Errorf("%d collections at tick %d", n, i+1)
		}
	}
}

func TestGarbageOfManyConnections(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	c := New()
	for _, now := range []int{many, many / 2} {
		if n := collections(func() { c.Tick(now) }); n != 0 {
			t.Errorf("%d collections with %d connections", n, now)
		}
	}
	if n := collections(func() { c.Tick(0) }); n != 0 {
		t.Errorf("%d collections while connections are ending", n)
	}
	if n := collections(func() { c.Tick(0) }); n == 0 {
		t.Errorf("no collection after %d connections have ended", many)
	}
}
