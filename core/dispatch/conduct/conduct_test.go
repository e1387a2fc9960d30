package conduct

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// A runner that fails again and again is out for longer each time, up to a bound;
// one that has behaved well for a while starts at the shortest time again.
func TestTimesOutDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Record{}
		var waits []time.Duration
		for range 8 {
			r.Eject("cause", "message")
			waits = append(waits, r.Wait)
			if !r.Out || !r.Until.Equal(time.Now().Add(r.Wait)) {
				t.Fatalf("%+v", r)
			}
			time.Sleep(r.Wait)
			r.Return()
			if r.Out {
				t.Fatalf("%+v", r)
			}
		}
		if got, want := fmt.Sprint(waits), "[1s 2s 4s 8s 16s 32s 1m0s 1m0s]"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		time.Sleep(forgiveAfter + time.Second)
		if r.Eject("cause", "message"); r.Wait != minOut {
			t.Errorf("out for %s after a long time, want %s", r.Wait, minOut)
		}
	})
}

func TestAProbeThatFailsDoublesTheTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Record{}
		r.Eject("cause", "message")
		for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			r.Postpone()
			if want *= time.Second; r.Wait != want || !r.Until.Equal(time.Now().Add(want)) {
				t.Errorf("%s until %s, want %s", r.Wait, r.Until, want)
			}
		}
	})
}

func TestLanesThatBreakAreCountedWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Record{}
		for range 3 * MaxLosses { // seldom
			if r.Lose() {
				t.Fatal("a runner lost too many lanes although it lost them seldom")
			}
			time.Sleep(lossWindow/(MaxLosses-1) + time.Second)
		}
		r = &Record{}
		for i := range MaxLosses {
			if got, want := r.Lose(), i == MaxLosses-1; got != want {
				t.Errorf("loss %d: %t, want %t", i, got, want)
			}
		}
		r.Eject("cause", "message")
		for range MaxLosses {
			if r.Lose() {
				t.Error("a runner that is out was to be ejected once more")
			}
		}
		if r.Return(); r.Lose() {
			t.Error("losses from before it was taken back count")
		}
	})
}

// The text that a runner gives is cut to a bound, and stays valid UTF-8.
func TestTheMessageOfAnEjectionIsBounded(t *testing.T) {
	r := &Record{}
	r.Eject("cause", "x"+strings.Repeat("é", maxMessage))
	if m := r.Ejection().GetMessage(); len(m) > maxMessage || len(m) < maxMessage-2 || !utf8.ValidString(m) {
		t.Errorf("%d bytes: %q", len(m), m)
	}
}

// Runners that come and go under new ids take no memory; one that failed is
// remembered when it comes back.
func TestRecordsAreBounded(t *testing.T) {
	rs := Records{}
	rs.Attach("good")
	rs.Detach("good")
	if len(rs) != 0 {
		t.Errorf("%d records of runners that are gone and never failed", len(rs))
	}
	rs.Attach("bad").Eject("cause", "message")
	rs.Detach("bad")
	if r := rs.Attach("bad"); !r.Out || r.Members != 1 {
		t.Errorf("%+v, want what was remembered", r)
	}
	rs.Detach("nobody")
	for i := range 3 * maxRecords {
		id := fmt.Sprint("runner-", i)
		rs.Attach(id).Eject("cause", "message")
		rs.Detach(id)
	}
	if len(rs) > maxRecords {
		t.Errorf("%d records, at most %d are kept", len(rs), maxRecords)
	}
	if r := rs["bad"]; r == nil || !r.Out {
		t.Error("a runner that is attached was forgotten")
	}
}

func TestAServiceThatFailsOnTwoRunnersIsSuspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Suspects{}
		for i, c := range []struct {
			service, runner string
			want            bool
		}{
			{"greet", "one", false},
			{"greet", "one", false}, // nobody else has failed it
			{"other", "two", false},
			{"greet", "two", true},
			{"greet", "one", true}, // it has failed on two
		} {
			if got := s.Provokes(c.service, c.runner); got != c.want {
				t.Errorf("%d: %s on %s: %t, want %t", i, c.service, c.runner, got, c.want)
			}
		}
		time.Sleep(suspectFor)
		if s.Provokes("greet", "two") {
			t.Error("it is suspected for what it did long ago")
		}
		for i := range 3 * maxSuspects {
			s.Provokes(fmt.Sprint("service-", i), "one")
		}
		if len(s) > maxSuspects {
			t.Errorf("%d suspects, at most %d are kept", len(s), maxSuspects)
		}
	})
}
