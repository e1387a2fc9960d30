//go:build !linux

package thread

import "time"

// Span is a piece of work of one goroutine. The zero value is ready to use, for one
// span after the other.
type Span struct {
	running bool
	began   time.Time
}

// Begin begins a span. If one has begun, it does nothing.
func (s *Span) Begin() {
	if !s.running {
		s.running, s.began = true, time.Now()
	}
}

// CPU returns how long the span, which has begun, took so far, also if it waited.
func (s *Span) CPU() time.Duration { return time.Since(s.began) }

// End ends the span. If none has begun, it does nothing.
func (s *Span) End() Used {
	if !s.running {
		return Used{}
	}
	s.running = false
	return Used{CPU: s.CPU(), Faulted: true}
}
