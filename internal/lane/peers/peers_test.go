package peers

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestAttemptsOfAnAddressAreBoundedInRateAndThoseOfOthersAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(1000, 10)
		try := func(addr string) bool {
			leave, err := p.Enter(addr)
			if err == nil {
				leave()
				leave() // a second call does nothing
			}
			return err == nil
		}
		in := 0
		for i := range 100 {
			if try(fmt.Sprintf("[2001:db8:1:2::%x]:%d", i, i)) { // one network
				in++
			}
		}
		if in != 10 {
			t.Errorf("%d of 100 attempts were let in, want 10", in)
		}
		if !try("[2001:db8:1:3::1]:1") || !try("192.0.2.1:1") || !try("[::ffff:192.0.2.1]:1") {
			t.Error("another address was refused")
		}
		time.Sleep(time.Second)
		for in = 0; try("[2001:db8:1:2::1]:1"); in++ {
		}
		if in != attachRate {
			t.Errorf("%d a second are let in", in)
		}
		for i := range 100_000 {
			try(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
		}
		if len(p.by) > maxPeers || p.lanes != 0 {
			t.Errorf("%d addresses are remembered, %d lanes", len(p.by), p.lanes)
		}
	})
}

func TestLinesAreLeftOutAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Lines
		written := 0
		for range 1000 {
			if _, ok := s.Next(); ok {
				written++
			}
		}
		time.Sleep(time.Second)
		omitted, ok := s.Next()
		if written != burst || !ok || omitted != 1000-burst {
			t.Errorf("%d written, then %d left out, %t", written, omitted, ok)
		}
	})
}
