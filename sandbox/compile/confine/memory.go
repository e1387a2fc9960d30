package confine

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// Memory watches the memory use of this process. The system's limits are the
// last resort behind it. Memory can report what happened, works everywhere, and
// counts a huge allocation before it is touched.
type Memory struct {
	// Over is closed when the limit is exceeded.
	Over chan struct{}
	peak atomic.Int64
}

// watchEvery bounds how much the process can touch beyond its limit: some tens
// of MB.
const watchEvery = 10 * time.Millisecond

// Watch starts watching, with a limit in bytes, until the process ends.
func Watch(limit int64) *Memory {
	m := &Memory{Over: make(chan struct{})}
	m.sample()
	go func() {
		for range time.Tick(watchEvery) {
			if m.sample() > limit {
				close(m.Over)
				return
			}
		}
	}()
	return m
}

// sample measures what Go has mapped and not released, in bytes.
func (m *Memory) sample() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	now := int64(s[0].Value.Uint64() - s[1].Value.Uint64())
	for {
		old := m.peak.Load()
		if now <= old || m.peak.CompareAndSwap(old, now) {
			return now
		}
	}
}

// Peak returns the highest value that was measured, in bytes.
func (m *Memory) Peak() int64 {
	m.sample()
	return m.peak.Load()
}

// Allocated returns how much was ever allocated, in bytes.
func (m *Memory) Allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
