package upgrade

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhoAsksForTheUpgrade(t *testing.T) {
	for _, test := range []struct {
		method, connection, upgrade string
		major                       int
		want                        bool
	}{
		{"GET", "Upgrade", Protocol, 1, true},
		{"GET", "keep-alive, upgrade", "ruedo-lane/2, " + Protocol, 1, true},
		{"GET", "Upgrade", "ruedo-lane/2", 1, false},
		{"GET", "Upgrade", "websocket", 1, false},
		{"GET", "Upgrade", "", 1, false},
		{"GET", "keep-alive", Protocol, 1, false},
		{"POST", "Upgrade", Protocol, 1, false},
		{"GET", "Upgrade", Protocol, 2, false},
	} {
		r := &http.Request{Method: test.method, ProtoMajor: test.major, Header: http.Header{"Connection": {test.connection}, "Upgrade": {test.upgrade}}}
		if got := Asked(r); got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
	}
}

func TestAWayIsTriedAgainAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Way
		if !w.Open() {
			t.Error("it is shut at first")
		}
		w.Shut()
		time.Sleep(rest - time.Second)
		if w.Open() {
			t.Error("it is open too early")
		}
		time.Sleep(time.Second)
		if !w.Open() {
			t.Error("it stays shut")
		}
	})
}
