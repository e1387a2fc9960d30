package pace

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// beats returns when a sender sends heartbeats, in seconds since its start, and
// the pauses that it announces, in seconds. It is ticked every so often.
func beats(s *Sender, span, every time.Duration, sent, used func(i int) bool) (at, pauses []float64) {
	s.Every = time.Second
	start := time.Now()
	for i := range int(span / every) {
		time.Sleep(every)
		if beat, pause := s.Tick(sent(i), used(i)); beat {
			at, pauses = append(at, time.Since(start).Seconds()), append(pauses, pause.Seconds())
		}
	}
	return at, pauses
}

func never(int) bool  { return false }
func always(int) bool { return true }

const tick = time.Second / ticks

func TestPausesDoubleOnAnIdleLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, pauses := beats(&Sender{}, time.Minute, tick, never, never)
		if want := []float64{1, 3, 7, 15, 29, 43, 57}; !slices.Equal(at, want) {
			t.Errorf("beats at %v, want %v", at, want)
		}
		if want := []float64{2, 4, 8, 14, 14, 14, 14}; !slices.Equal(pauses, want) {
			t.Errorf("they announced %v, want %v", pauses, want)
		}
	})
}

func TestALaneInUseHasAHeartbeatEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steady := []float64{1, 2, 3, 4}
		at, pauses := beats(&Sender{}, 4*time.Second, tick, never, always)
		if !slices.Equal(at, steady) || slices.Max(pauses) != 1 {
			t.Errorf("with calls in flight, beats at %v with pauses %v", at, pauses)
		}
		at, pauses = beats(&Sender{Steady: true}, 4*time.Second, tick, never, never)
		if !slices.Equal(at, steady) || slices.Max(pauses) != 1 {
			t.Errorf("with a peer that knows no pauses, beats at %v with pauses %v", at, pauses)
		}
		if at, _ = beats(&Sender{}, 4*time.Second, tick, always, never); len(at) != 0 {
			t.Errorf("while other frames are sent, beats at %v", at)
		}
		s := &Sender{}
		beats(s, time.Minute, tick, never, never)
		if at, _ = beats(s, 4*time.Second, tick, func(i int) bool { return i == 0 }, never); !slices.Equal(at, []float64{1.5, 3.5}) {
			t.Errorf("after one frame on an idle lane, beats at %v", at)
		}
		if at, _ = beats(s, time.Second, tick, never, always); len(at) == 0 {
			t.Error("no beat within a second of a call on an idle lane")
		}
	})
}

// A process that gets little processor time loses ticks. It is late by one of
// them, not by all that it has lost during a pause.
func TestLostTicksDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seldom = 1900 * time.Millisecond
		at, pauses := beats(&Sender{}, 10*time.Minute, seldom, never, never)
		for i := range at[1:] {
			if gap := at[i+1] - at[i]; gap > pauses[i]+seldom.Seconds() {
				t.Errorf("a pause of %.1fs, %.1fs were announced", gap, pauses[i])
			}
		}
	})
}

func TestHeartbeatsAnnounceLongPausesOnly(t *testing.T) {
	s := Sender{Every: time.Second}
	if b := s.Heartbeat(time.Second); b.GetPauseNanos() != 0 {
		t.Errorf("on a lane in use: %v", b)
	}
	if b := s.Heartbeat(2 * time.Second); b.GetPauseNanos() != int64(2*time.Second) {
		t.Errorf("on an idle lane: %v", b)
	}
}
