// Package garbage returns memory to the system that requests leave behind.
//
// A core lets its heap grow to several times what it uses before it collects
// garbage, because that saves processor time while there is work. When the work
// ends, so do the collections, and the memory would stay with the process for
// minutes.
package garbage

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	// large is the minimum size of a request whose memory is counted.
	large = 1 << 20
	// much is how much garbage of large requests triggers a collection
	// immediately, unless more than that is in use. Reusing memory costs less than
	// getting more from the system, and a collection costs what is in use.
	much = 16 << 20
	// worthwhile is how much of it makes it worth returning memory to the system
	// when there are no more large requests.
	worthwhile = 4 << 20
	// betweenGCs is the minimum time between two collections while large requests
	// keep coming.
	betweenGCs = 100 * time.Millisecond
	// many is how many ended connections and requests also make that worth it.
	// What fewer leave behind, the next ones need again, and memory that is new
	// costs more than memory that is used again.
	many = 1024
	// some is how many of them are still ending if as many have ended since the last
	// tick: it is better to wait for the rest.
	some = 128
	// heaped is how much of the heap that is not in use makes it worth it, whatever
	// it came from, after calmTicks in which less than calmBytes were allocated. If
	// more is in use, there must be as much garbage, because a collection costs what
	// is in use.
	heaped    = 32 << 20
	calmTicks = 2
	calmBytes = 4 << 20
	// longCalm is the number of such ticks after which what was in use has to be
	// found out again, once: what a flood held until its end became garbage when
	// nothing counted any more.
	longCalm = 10
)

// Cleaner decides when to collect garbage and when to return memory. Spent may
// be called concurrently with everything; one goroutine calls the others.
type Cleaner struct {
	spent atomic.Int64 // bytes allocated by large requests since the last collection
	much  chan struct{}

	last      time.Time // of a collection
	left      int64     // garbage of large requests since memory was returned
	peak      int       // highest number of connections and requests since then
	before    int       // their number at the last tick
	known     int       // their number when it became known what is in use, which is live
	live      uint64
	allocated uint64 // bytes, by the last tick
	calm      int    // ticks in a row that allocated little
	sure      bool   // live was found out after the last work
	collected bool   // at the last tick
	heap      []metrics.Sample
}

// New returns a Cleaner.
func New() *Cleaner {
	return &Cleaner{much: make(chan struct{}, 1), heap: []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}}
}

// Started counts what the start of the process leaves behind: a catalog is decoded
// from bytes that are garbage afterwards.
func (c *Cleaner) Started() { c.left = worthwhile }

// Spent counts n bytes that a request has allocated and leaves behind.
func (c *Cleaner) Spent(n int64) {
	if n < large || c.spent.Add(n) < much {
		return
	}
	select {
	case c.much <- struct{}{}:
	default:
	}
}

// Much receives a value when it is time for Collect.
func (c *Cleaner) Much() <-chan struct{} { return c.much }

// Collect collects garbage while large requests keep coming. What they have
// allocated only says when to look: their buffers are reused, so there may be
// less garbage.
func (c *Cleaner) Collect() {
	if c.spent.Load() < much || time.Since(c.last) < betweenGCs {
		return
	}
	c.left += c.spent.Swap(0)
	c.last = time.Now()
	if now := c.read(); now.garbage >= max(much, now.live) {
		runtime.GC()
	}
}

// Tick collects garbage if that is worth it, and returns the memory to the system
// at the next one: by then, pools are empty, and calls wait for one thing at a time.
// It is called about once a second with the number of connections and requests at
// present.
func (c *Cleaner) Tick(now int) {
	c.peak = max(c.peak, now)
	ending := c.before-now >= some
	c.before = now
	spent := c.spent.Swap(0)
	c.left += spent
	h := c.read()
	c.calm++
	if h.allocated-c.allocated >= calmBytes {
		c.calm, c.sure = 0, false
	}
	c.allocated = h.allocated
	if h.live != c.live { // there was a collection
		c.live, c.known = h.live, now
	}
	switch {
	case c.collected:
		c.left, c.peak, c.calm, c.collected = 0, now, 0, false
		debug.FreeOSMemory()
	case c.calm >= longCalm && !c.sure && h.live >= heaped:
		c.sure, c.collected = true, true
		runtime.GC()
	case spent == 0 && !ending && (c.left >= worthwhile || c.peak-now >= many), c.calm >= calmTicks && c.heaped(h, now):
		c.collected = true
		runtime.GC()
	}
}

// heaped reports whether there is much in the heap that is not in use. What many
// new connections hold is in use, though no collection has found that yet.
func (c *Cleaner) heaped(h heap, now int) bool {
	return h.garbage+h.free >= max(heaped, h.live) && now-c.known < many
}

// heap is what is in the heap, in bytes.
type heap struct {
	live      uint64 // in use, as the last collection found
	garbage   uint64 // the rest, among it what has come since and is in use
	allocated uint64 // since the process started
	free      uint64 // collected, and not returned to the system
}

func (c *Cleaner) read() heap {
	metrics.Read(c.heap)
	objects, live := c.heap[0].Value.Uint64(), c.heap[1].Value.Uint64()
	return heap{live, objects - min(live, objects), c.heap[2].Value.Uint64(), c.heap[3].Value.Uint64()}
}
