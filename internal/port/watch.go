package port

import "time"

const (
	// tick is how often the watch looks.
	tick = time.Second
	// hurry is what patience is divided by under pressure.
	hurry = 5
	// extendEvery is how often the deadline for the end of an answer is
	// postponed, in ticks: several times before it would pass.
	extendEvery = int(unreadTimeout / (3 * tick))
)

// watched is what the watch knows about an exchange.
type watched struct {
	age   int   // ticks since it began
	seen  int64 // bytes moved, when last looked at
	still int   // ticks in a row in which its peer moved nothing
	slow  [both + 1]struct {
		ticks int   // spent waiting for the peer, by phase
		moved int64 // bytes that passed meanwhile
	}
}

// watch looks at what is in flight once a tick until the server has closed.
func (s *Server) watch() {
	s.garbage.Started()
	every := min(tick, s.cfg.Idle/10)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.look(every)
			s.garbage.Tick(s.conns.Count() + s.InFlight())
		case <-s.garbage.Much():
			s.garbage.Collect()
		case <-s.stop:
			return
		}
	}
}

// look checks every exchange once.
func (s *Server) look(every time.Duration) {
	s.conns.Next()
	pressed := s.draining.Load() || s.bodies.Tight() || s.answers.Tight() ||
		s.conns.Count() > s.cfg.Connections/4*3 || s.InFlight() > s.cfg.Requests/4*3
	idle := int(s.cfg.Idle / every)
	if pressed {
		idle = max(idle/hurry, 1)
	}
	rate := max(s.cfg.Rate*int64(every)/int64(time.Second), 1)
	s.inflight.Each(func(x *exchange) {
		x.age++
		if x.age%extendEvery == 0 {
			x.extend()
		}
		if now := x.phase.Load(); x.step(now, idle, rate, int(x.route.Total/every)) {
			x.cut(now)
		}
	})
}

// step reports whether the peer is too slow: it has moved nothing for idle
// ticks, it is behind rate bytes a tick after idle ticks, or a body has taken
// longer than total ticks. Only ticks in which the handler waits for the peer
// count.
func (x *exchange) step(now phase, idle int, rate int64, total int) bool {
	moved := x.moved.Load()
	passed := moved - x.seen
	x.seen = moved
	p := &x.slow[now]
	p.moved += passed
	if now == working || passed > 0 {
		x.still = 0
	}
	if now == working {
		return false
	}
	p.ticks++
	if passed == 0 {
		x.still++
	}
	return x.still >= idle ||
		int64(p.ticks) > int64(idle)+p.moved/rate ||
		now&reading != 0 && x.slow[reading].ticks+x.slow[both].ticks > total
}

// hindering bounds which peers can be ended to make room for others: those that
// move less than this multiple of the rate that they must keep.
const hindering = 16

// endSlowest ends the exchange whose peer moves the fewest bytes in a tick, if
// it has been waited for during a full tick and is slow. What has just begun when
// the watch looks counts as a tick of waiting, but was not waited for.
func (s *Server) endSlowest(in phase) {
	x, rate := s.slowest(func(x *exchange, now phase) bool { return now&in != 0 && x.slow[now].ticks > 0 && x.age > 1 })
	if x != nil && rate < hindering*s.cfg.Rate {
		s.inflight.With(&x.place, func() { x.cut(in) })
	}
}

// hangUpOnSlowest closes the connection of the exchange whose peer has moved
// the fewest bytes in a tick, of those that have waited for that many ticks. It
// reports whether there was one.
func (s *Server) hangUpOnSlowest(waited int) bool {
	x, _ := s.slowest(func(x *exchange, now phase) bool { return now != working && x.slow[now].ticks >= waited })
	if x == nil || x.conn == nil {
		return false
	}
	x.conn.HangUp() // its requests fail and end
	return true
}

// slowest returns the exchange whose peer moves the fewest bytes in a tick, and
// how many, of those that eligible accepts and that are not ended yet.
func (s *Server) slowest(eligible func(x *exchange, now phase) bool) (worst *exchange, rate int64) {
	age := 0
	s.inflight.Each(func(x *exchange) {
		now := x.phase.Load()
		p := &x.slow[now]
		if x.late.Load() || !eligible(x, now) {
			return
		}
		sinceLook := x.moved.Load() - x.seen
		if r := (p.moved + sinceLook) / int64(max(p.ticks, 1)); worst == nil || r < rate || r == rate && x.age > age {
			worst, rate, age = x, r, x.age
		}
	})
	return worst, rate
}
