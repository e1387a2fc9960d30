package peers

import (
	"sync"
	"time"
)

// Lines bounds the log lines that peers can cause: 64 in quick succession, then
// two a second. The zero value is ready to use, from many goroutines.
type Lines struct {
	mu      sync.Mutex
	left    float64
	at      time.Time
	omitted int
}

const (
	burst = 64
	rate  = 2 // a second
)

// Next reports whether a line may be written, and how many were omitted since
// the last one.
func (s *Lines) Next() (omitted int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.at.IsZero() {
		s.left = burst
	} else {
		s.left = min(burst, s.left+now.Sub(s.at).Seconds()*rate)
	}
	s.at = now
	if s.left < 1 {
		s.omitted++
		return 0, false
	}
	s.left--
	omitted, s.omitted = s.omitted, 0
	return omitted, true
}
