package fuel

import (
	"testing"
	"time"
)

// A long exchange has its limits again in each part; another call has them once.
func TestLimitsAreRenewed(t *testing.T) {
	begin := time.Now()
	b := Budget{CPU: time.Second, HostCalls: 10, Long: &Long{Every: time.Minute, began: begin}, hostCalls: 11}
	if b.renew(begin.Add(59*time.Second), 3*time.Second) || b.hostCalls != 11 || b.cpuLimit() != time.Second {
		t.Errorf("renewed too early: %+v", b)
	}
	if !b.renew(begin.Add(time.Minute), 3*time.Second) || b.hostCalls != 0 || b.cpuLimit() != 4*time.Second {
		t.Errorf("not renewed: %+v, %+v", b, b.Long)
	}
	if b.renew(begin.Add(time.Minute+time.Second), 4*time.Second) {
		t.Error("renewed twice")
	}
	if once := (Budget{CPU: time.Second}); once.renew(begin.Add(time.Hour), 0) || once.cpuLimit() != time.Second {
		t.Errorf("got %+v", once)
	}
}
