// Package work is the work of a guest in the soak of the sandbox's tests. Run
// natively, it returns the expected answer, without what only a guest should
// do.
package work

import (
	"runtime"
	"strconv"
	"time"
)

// Steps is how often Do calls step.
const Steps = 12

// guest reports whether this is a guest.
const guest = runtime.GOARCH == "wasm"

// State is what a call leaves behind. The answer of the next one depends on it.
type State struct {
	kept  [][]byte
	names map[string]int
}

// After returns the state that calls with a seed leave behind, as far as
// answers depend on it.
func After(seed int) *State { return &State{names: map[string]int{"left": seed}} }

// Left returns how much earlier calls left behind.
func (s *State) Left() int { return len(s.kept) + len(s.names) }

// Do computes a number from a seed with maps, goroutines, timers, memory that
// grows, and the garbage collector. It leaves all kinds of things behind.
func (s *State) Do(seed int, step func(int)) uint64 {
	sum, at := uint64(seed), 0
	mix := func(v uint64) { sum = (sum^v)*0x9e3779b97f4a7c15 + v>>7 }
	next := func() { step(at); at++ }

	next()
	for i := range 20 + seed%60 {
		s.names[strconv.Itoa(seed*i)] = i
	}
	next()
	var all uint64
	for name, i := range s.names {
		if i%3 == 0 && seed%2 == 0 {
			delete(s.names, name)
			continue
		}
		all += uint64(len(name) * i)
	}
	next()
	clear(s.names)
	s.names["left"] = seed
	mix(all)

	next()
	answers := make(chan uint64)
	for w := range 4 + seed%4 {
		go func() {
			b := make([]byte, 100+seed%1000)
			for i := range b {
				b[i] = byte(i * w)
			}
			runtime.Gosched()
			answers <- uint64(b[len(b)-1]) + uint64(w)*uint64(seed)
		}()
	}
	next()
	all = 0
	for range 4 + seed%4 {
		all += <-answers
	}
	next()
	mix(all)

	if guest && seed%8 == 0 {
		fired := make(chan time.Time, 1)
		time.AfterFunc(10*time.Microsecond, func() { fired <- time.Now() })
		select {
		case <-fired:
		case <-time.After(time.Minute):
			mix(1)
		}
	}
	next()
	if guest {
		go func() { select {} }() // never ends
	}
	next()
	size := 1000
	if seed%6 == 0 {
		size = 300_000
	}
	for i := range 4 {
		b := make([]byte, size)
		for k := i; k < len(b); k += 97 {
			b[k] = byte(seed + k)
		}
		s.kept = append(s.kept, b)
	}
	next()
	if guest && seed%16 == 0 {
		runtime.GC()
	}
	next()
	for _, b := range s.kept[len(s.kept)-4:] {
		for k := 0; k < len(b); k += 61 {
			mix(uint64(b[k]))
		}
	}
	next()
	mix(uint64(len(s.kept) & 3))
	next()
	return sum
}
