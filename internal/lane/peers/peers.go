// Package peers bounds what peers can make a core do before it knows who they
// are: lanes and attempts to attach, by address, and lines in its log.
//
//	table := peers.New(1024, 128)
//	leave, err := table.Enter(remote)
//	if err != nil {
//		return err
//	}
//	defer leave()
package peers

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// attachRate is how many attempts a second an address gets after its first
	// burst, which is as many attempts as it may have lanes.
	attachRate = 4
	// maxPeers bounds the number of addresses that are remembered, and maxName
	// the length of one that is not of IP, in bytes.
	maxPeers = 4096
	maxName  = 64
)

// Table bounds the lanes of a core, and attempts to attach, per address and in
// total. Its methods can be called from many goroutines at the same time.
type Table struct {
	all, each int // the limits

	mu    sync.Mutex
	lanes int
	by    map[string]*peer
}

type peer struct {
	lanes    int
	attempts float64 // left
	at       time.Time
}

// New returns a table for so many lanes in total, and so many from one IPv4
// address or one IPv6 /64 network.
func New(all, each int) *Table {
	return &Table{all: all, each: each, by: make(map[string]*peer)}
}

// Enter counts an attempt to attach from an address, host:port. Call leave when
// the attempt, or the lane that it became, has ended. The error is LANE_LIMIT.
func (t *Table) Enter(remote string) (leave func(), err error) {
	addr := address(remote)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lanes >= t.all {
		return nil, fault.New(fault.LaneLimit, "this core has %d lanes to runners, its limit", t.lanes).
			With("limit", fmt.Sprint(t.all)).WithFix("attach the runner to another core, or stop runners that are not needed")
	}
	e := t.by[addr]
	if e == nil {
		if len(t.by) >= maxPeers {
			t.forget()
		}
		e = &peer{attempts: float64(t.each), at: time.Now()}
		t.by[addr] = e
	}
	if e.lanes >= t.each {
		return nil, fault.New(fault.LaneLimit, "address %s has %d lanes to this core, the limit for one address", addr, e.lanes).
			With("limit", fmt.Sprint(t.each)).WithFix("attach the runner from another address or to another core, or stop runners that are not needed")
	}
	if e.refill(t.each); e.attempts < 1 {
		return nil, fault.New(fault.LaneLimit, "address %s has attached %d times in quick succession; now the limit is %d a second", addr, t.each, attachRate).
			With("limit", fmt.Sprint(attachRate)).WithFix("find out from the logs of its runners why they attach so often")
	}
	e.attempts--
	e.lanes++
	t.lanes++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.lanes--
		e.lanes--
	}), nil
}

func (e *peer) refill(limit int) {
	now := time.Now()
	e.attempts = min(float64(limit), e.attempts+now.Sub(e.at).Seconds()*attachRate)
	e.at = now
}

// forget drops the addresses that need not be remembered, and enough of the
// others without a lane that it is not needed again soon. The caller holds
// t.mu.
func (t *Table) forget() {
	for _, all := range []bool{false, true} {
		for addr, e := range t.by {
			if all && len(t.by) <= maxPeers/2 {
				break
			}
			if e.refill(t.each); e.lanes == 0 && (all || e.attempts >= float64(t.each)) {
				delete(t.by, addr)
			}
		}
	}
}

// address returns what counts as one address: an IPv4 address, or an IPv6 /64
// network, the smallest that one host is assigned.
func address(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return fault.Cut(host, maxName)
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}
