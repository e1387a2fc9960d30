// Package pace says when one end of a lane sends heartbeats, and when the other
// end, which is silent, is lost.
//
// A lane in use has a heartbeat each second. On an idle one the pauses double, up
// to [Longest]. Each heartbeat says how long its sender then pauses, so the other
// end knows how long it has to wait. It can also ask: a probe is answered
// immediately, and until it is, no pause counts.
package pace

import (
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
)

// Usual is the time between two heartbeats of a lane in use, by default.
const Usual = time.Second

// Longest is the longest pause between two heartbeats, in heartbeats of a lane
// in use. It is less than the time after which HTTP/2 sends a ping.
const Longest = 14

// ticks is the number of ticks in a heartbeat of a lane in use.
const ticks = 2

// Sender decides when to send heartbeats. One goroutine uses it.
//
// It compares times instead of counting ticks: a process that gets little
// processor time loses ticks, and must not pause for longer than it has said.
type Sender struct {
	// Every is the pause on a lane in use.
	Every time.Duration
	// Steady means that the other end does not know longer pauses.
	Steady bool

	pause time.Duration
	last  time.Time // something was sent
}

// Tick is called twice in each Every. sent says that something else was sent since the
// last tick; used, that the other end waits for an answer or has one to send. Tick
// reports whether to send a heartbeat now, and the pause after it.
func (s *Sender) Tick(sent, used bool) (beat bool, pause time.Duration) {
	now, tick := time.Now(), s.Every/ticks
	if s.last.IsZero() {
		s.last = now.Add(-tick)
	}
	if sent || used || s.Steady || s.pause == 0 {
		s.pause = s.Every
	}
	if sent {
		s.last = now
		return false, s.pause
	}
	if now.Sub(s.last) < s.pause-tick/2 { // ticks are not exact
		return false, s.pause
	}
	s.last = now
	if !used && !s.Steady {
		s.pause = min(2*s.pause, Longest*s.Every)
	}
	return true, s.pause
}

// Heartbeat returns the heartbeat before a pause.
func (s *Sender) Heartbeat(pause time.Duration) *runnerv1.Heartbeat {
	if pause <= s.Every {
		return &runnerv1.Heartbeat{} // older peers, too, expect no longer one
	}
	return &runnerv1.Heartbeat{PauseNanos: int64(pause)}
}
