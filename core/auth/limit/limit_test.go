package limit

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestSoManyInAPeriod(t *testing.T) {
	l := New(20, time.Minute)
	at := func(d time.Duration) int64 { return int64(d) }
	for i := range 20 {
		if _, ok := l.allow("10.0.0.1", at(time.Second)); !ok {
			t.Fatalf("number %d is refused", i+1)
		}
	}
	retry, ok := l.allow("10.0.0.1", at(time.Second))
	if ok || retry != 3*time.Second {
		t.Errorf("one too many: %t, again after %s", ok, retry)
	}
	if _, ok := l.allow("10.0.0.1", at(4*time.Second)); !ok {
		t.Error("refused after the time that it was told")
	}
	if _, ok := l.allow("10.0.0.1", at(4*time.Second)); ok {
		t.Error("more than one was allowed after that time")
	}
	allowed := 0
	for range 100 {
		if _, ok := l.allow("10.0.0.1", at(time.Hour)); ok {
			allowed++
		}
	}
	if allowed != 20 {
		t.Errorf("%d after a quiet hour", allowed)
	}
}

func TestWhatWouldBeAllowedDoesNotCount(t *testing.T) {
	l := New(2, time.Hour)
	for i := range 2 {
		for range 3 {
			if retry, ok := l.Would("10.0.0.1"); !ok || retry != 0 {
				t.Fatalf("after %d: %t, again after %s", i, ok, retry)
			}
		}
		l.Allow("10.0.0.1")
	}
	if retry, ok := l.Would("10.0.0.1"); ok || retry <= 0 || retry > 30*time.Minute {
		t.Errorf("one too many: %t, again after %s", ok, retry)
	}
}

// Few of those who behave suffer from those who do not.
func TestOthersAreNotLimited(t *testing.T) {
	l := New(20, time.Minute)
	for i := range 100 {
		for range 1000 {
			l.allow(fmt.Sprint("bad-", i), 1)
		}
	}
	refused := 0
	for i := range 1000 {
		if _, ok := l.allow(fmt.Sprint("good-", i), 1); !ok {
			refused++
		}
	}
	if refused > 100 { // 24 on average
		t.Errorf("%d of 1000 are refused because of 100 others", refused)
	}
}

func TestManyAtTheSameTime(t *testing.T) {
	l := New(100, time.Hour)
	var allowed atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if _, ok := l.Allow("one"); ok {
					allowed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := allowed.Load(); n != 100 {
		t.Errorf("%d were allowed", n)
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"10.1.2.3": "10.1.2.3", "::ffff:10.1.2.3": "10.1.2.3", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "": "", "@": "@", "ada": "ada",
	} {
		if got := Network(address); got != want {
			t.Errorf("%s is of %s, want %s", address, got, want)
		}
	}
}

func TestNetworks(t *testing.T) {
	for address, want := range map[string]string{
		"10.1.2.3": "10.1.2.3 10.1.2.0/24 10.1.0.0/16", "::ffff:10.1.2.3": "10.1.2.3 10.1.2.0/24 10.1.0.0/16",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64 2001:db8:1::/56 2001:db8:1::/48", "fe80::1%eth0": "fe80::/64 fe80::/56 fe80::/48", "ada": "ada", "": "",
	} {
		if got := strings.Join(Networks(address), " "); got != want {
			t.Errorf("%s is of %s, want %s", address, got, want)
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	l := New(1<<30, time.Second)
	b.ReportAllocs()
	for b.Loop() {
		l.Allow("10.0.0.1")
	}
}
