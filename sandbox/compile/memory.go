package compile

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// memory watches what a child uses. The system's limits are the wall behind it:
// this one can say what happened, works everywhere, and counts a huge allocation
// before it is touched.
type memory struct {
	over chan struct{} // closed when the limit is exceeded
	top  atomic.Int64
}

// watchEvery bounds what a child can touch beyond its limit: some tens of MB.
const watchEvery = 10 * time.Millisecond

// watchMemory watches until the process ends.
func watchMemory(limit int64) *memory {
	m := &memory{over: make(chan struct{})}
	m.sample()
	go func() {
		for range time.Tick(watchEvery) {
			if m.sample() > limit {
				close(m.over)
				return
			}
		}
	}()
	return m
}

// sample measures what Go has mapped and not given back, in bytes.
func (m *memory) sample() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	now := int64(s[0].Value.Uint64() - s[1].Value.Uint64())
	for {
		old := m.top.Load()
		if now <= old || m.top.CompareAndSwap(old, now) {
			return now
		}
	}
}

// peak is the most that was seen, in bytes.
func (m *memory) peak() int64 {
	m.sample()
	return m.top.Load()
}

// allocated is how much was ever allocated, in bytes.
func (m *memory) allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
