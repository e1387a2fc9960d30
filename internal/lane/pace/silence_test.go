package pace

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const loss = 3 * time.Second

// end is one end of a lane without calls.
type end struct {
	Silence
	sender Sender
	slow   atomic.Int64 // nanoseconds that its heartbeats take
	gone   atomic.Bool  // they do not arrive
	lost   chan struct{}
}

// two returns two ends that hear each other.
func two(t *testing.T, steady bool) (a, b *end) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	t.Cleanup(func() { close(done); wg.Wait() })
	live := func(e, other *end) {
		e.Watch(done, time.Second, loss, func() {
			beat, pause := e.sender.Tick(false, false)
			if !beat || e.gone.Load() {
				return
			}
			pause = time.Duration(e.sender.Heartbeat(pause).GetPauseNanos())
			// Nothing arrives in no time; and a timer of zero in a bubble is run at
			// once, which can crash Go's runtime under the race detector.
			time.AfterFunc(max(time.Duration(e.slow.Load()), time.Nanosecond), func() {
				other.Heard()
				other.Announced(pause)
			})
		}, func(error) { close(e.lost) })
	}
	a = &end{sender: Sender{Every: time.Second, Steady: steady}, lost: make(chan struct{})}
	b = &end{sender: Sender{Every: time.Second, Steady: steady}, lost: make(chan struct{})}
	wg.Go(func() { live(a, b) })
	wg.Go(func() { live(b, a) })
	return a, b
}

// wait returns after how long c is closed; a day if it is not.
func wait(c <-chan struct{}) time.Duration {
	start := time.Now()
	select {
	case <-c:
	case <-time.After(24 * time.Hour):
	}
	return time.Since(start)
}

func TestAQuietLaneIsNotLost(t *testing.T) {
	for what, steady := range map[string]bool{"with pauses": false, "without": true} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := two(t, steady)
				select {
				case <-a.lost:
					t.Error("the first end lost the other")
				case <-b.lost:
					t.Error("the second end lost the other")
				case <-time.After(time.Hour):
				}
				// The link becomes slow, but not so slow as a silent peer.
				if steady {
					a.slow.Store(int64(1900 * time.Millisecond))
				} else {
					a.slow.Store(int64(2900 * time.Millisecond))
				}
				select {
				case <-b.lost:
					t.Error("a heartbeat that came late was taken for a loss")
				case <-time.After(10 * time.Minute):
				}
			})
		})
	}
}

// An end that vanishes is lost after its pause and the loss timeout, whenever that
// is.
func TestSilenceAfterAPauseIsALoss(t *testing.T) {
	for _, test := range []struct {
		steady     bool
		idle, most time.Duration
	}{
		{true, time.Minute, 4 * time.Second},
		{false, 1500 * time.Millisecond, 5 * time.Second}, // it has announced 2 s
		{false, time.Minute, 18 * time.Second},
		{false, time.Minute + 5*time.Second, 18 * time.Second},
		{false, time.Minute + 10*time.Second, 18 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := two(t, test.steady)
			time.Sleep(test.idle)
			synctest.Wait()
			b.gone.Store(true)
			if took := wait(a.lost); took > test.most {
				t.Errorf("after %s: lost after %s, want at most %s", test.idle, took, test.most)
			}
		})
	}
}

// A probe ends the pause. An end that does not answer is lost within the loss
// timeout, however often it is asked again; one that answers is not.
func TestAProbeEndsThePause(t *testing.T) {
	for what, answers := range map[string]bool{"no answer": false, "an answer": true} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := two(t, false)
				time.Sleep(time.Minute + 9*time.Second)
				synctest.Wait()
				if !a.Pausing() || !a.Asleep() {
					t.Errorf("pausing: %t, asleep: %t", a.Pausing(), a.Asleep())
				}
				if !answers {
					b.gone.Store(true)
				}
				for range 16 {
					select {
					case <-a.lost:
						if answers {
							t.Error("it was lost, although it answered")
						}
						return
					case <-time.After(250 * time.Millisecond):
					}
					a.Asked()
					if answers {
						a.Heard()
						a.Answered()
						if a.Pausing() || a.Asleep() || a.Owed() {
							t.Error("it answered, and nothing has changed")
						}
					}
				}
				if !answers {
					t.Error("it was not lost within 4 s of the first probe")
				}
			})
		})
	}
}

// On a thin link, the answer can be behind much else that arrives.
func TestSomethingElseThanTheAnswerIsASignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := two(t, false)
		time.Sleep(time.Minute)
		synctest.Wait()
		b.gone.Store(true)
		a.Asked()
		for range 20 {
			time.Sleep(2900 * time.Millisecond)
			a.Heard()
		}
		select {
		case <-a.lost:
			t.Error("it was lost, although it spoke")
		default:
		}
	})
}

// After a heartbeat, it is as on a lane in use: for the loss timeout, nobody has to
// wait for the answer to a probe.
func TestAnEndIsAsleepAfterTheLossTimeoutOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := two(t, false)
		time.Sleep(62 * time.Second) // there was a heartbeat after 57 s
		synctest.Wait()
		if !a.Asleep() {
			t.Error("5 s after a heartbeat, it is awake")
		}
		time.Sleep(10 * time.Second) // and one after 71 s
		synctest.Wait()
		if !a.Pausing() || a.Asleep() {
			t.Errorf("1 s after a heartbeat, pausing: %t, asleep: %t", a.Pausing(), a.Asleep())
		}
	})
}

// A heartbeat can arrive while the watch is taking the end for one that is asleep.
func TestAnEndThatWasHeardMeanwhileIsNotAsleepForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := two(t, false)
		time.Sleep(71*time.Second + time.Millisecond) // there was a heartbeat after 71 s
		synctest.Wait()
		a.Heard()
		a.asleep.Store(true) // as the watch would, with what it knew before
		a.Announced(14 * time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		if !a.Pausing() || a.Asleep() {
			t.Errorf("1 s after a heartbeat, pausing: %t, asleep: %t", a.Pausing(), a.Asleep())
		}
	})
}

func TestWhatCanBeAnnounced(t *testing.T) {
	var s Silence
	for _, pause := range []time.Duration{0, -1, -time.Hour} {
		if s.Announced(pause); s.Pausing() {
			t.Errorf("a pause of %s counts", pause)
		}
	}
	if s.Announced(time.Hour); s.pause.Load() != int64(MaxPause) {
		t.Errorf("a pause of an hour counts as %s", time.Duration(s.pause.Load()))
	}
	s.Answered()
	s.Answered()
	if s.Asked(); !s.Owed() {
		t.Error("answers that nobody asked for count for later probes")
	}
}
