package pace

import (
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// MaxPause bounds the pause that counts, whatever the other end announces.
const MaxPause = time.Minute

// Silence is what one end of a lane knows about the silence of the other. The
// zero value is ready to use, from many goroutines.
type Silence struct {
	heard   atomic.Uint64 // messages
	pausing atomic.Bool   // it has announced a pause and said nothing since
	pause   atomic.Int64  // nanoseconds that it has announced
	asleep  atomic.Bool   // it has been silent for the loss timeout

	asked, answered atomic.Uint64 // probes
}

// Heard records a message. Call it before anything that the message says, from
// one goroutine.
func (s *Silence) Heard() {
	s.heard.Add(1)
	if s.pausing.Load() {
		s.pausing.Store(false)
		s.pause.Store(0)
		s.asleep.Store(false)
	}
}

// Messages returns the number of messages.
func (s *Silence) Messages() uint64 { return s.heard.Load() }

// Announced records the pause that the last message has announced. Zero announces
// none.
func (s *Silence) Announced(pause time.Duration) {
	if pause > 0 {
		s.pause.Store(int64(min(pause, MaxPause)))
		s.pausing.Store(true)
	}
}

// Pausing reports whether the other end has announced a pause and has said nothing
// since. It costs one atomic load.
func (s *Silence) Pausing() bool { return s.pausing.Load() }

// Asleep reports whether the other end has been silent in its pause for the loss
// timeout: on a lane in use, it would be lost.
func (s *Silence) Asleep() bool { return s.pausing.Load() && s.asleep.Load() }

// Asked records a probe that is sent to the other end.
func (s *Silence) Asked() { s.asked.Add(1) }

// Answered records the answer to a probe, or that one could not be sent.
func (s *Silence) Answered() {
	if s.Owed() {
		s.answered.Add(1)
	}
}

// Owed reports whether the other end has not answered every probe.
func (s *Silence) Owed() bool { return s.answered.Load() < s.asked.Load() }

// Watch calls beat every half heartbeat until done is closed. When the other end
// has said nothing for the pause that it announced and the loss timeout, Watch
// calls end and returns. If a probe was sent meanwhile, the loss timeout counts
// from then, and the pause does not.
//
// Watch counts ticks instead of comparing times. So a process that was itself
// stopped first reads what arrived meanwhile.
func (s *Silence) Watch(done <-chan struct{}, heartbeat, loss time.Duration, beat func(), end func(error)) {
	const parts = 6
	part := loss / parts
	beats, losses := time.NewTicker(heartbeat/ticks), time.NewTicker(part)
	defer beats.Stop()
	defer losses.Stop()
	silent, heard, owed := 0, uint64(0), false
	for {
		select {
		case <-done:
			return
		case <-beats.C:
			beat()
		case <-losses.C:
			silent++
			if n := s.heard.Load(); n != heard {
				silent, heard = 0, n
				s.asleep.Store(false) // again: Heard may have run right before it was set
			}
			pause := time.Duration(s.pause.Load())
			if now := s.Owed(); now != owed {
				silent, owed = 0, now
			}
			if owed {
				pause = 0
			}
			if silent >= parts+int(pause/part) {
				end(fault.New(fault.RunnerLost, "nothing was received for %s", loss+pause))
				return
			}
			if silent >= parts {
				s.asleep.Store(true)
			}
		}
	}
}
