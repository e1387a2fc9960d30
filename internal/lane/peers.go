package lane

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
	// maxPeers bounds the number of addresses that are remembered.
	maxPeers = 4096
)

// peers bounds the lanes of a core, and attempts to attach, per address and in
// total.
type peers struct {
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

// enter counts an attempt to attach. Call leave when the attempt, or the lane
// that it became, has ended.
func (p *peers) enter(remote string) (leave func(), err error) {
	addr := address(remote)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lanes >= p.all {
		return nil, fault.New(fault.LaneLimit, "this core has %d lanes to runners, its limit", p.lanes).
			With("limit", fmt.Sprint(p.all)).WithFix("attach the runner to another core, or stop runners that are not needed")
	}
	e := p.by[addr]
	if e == nil {
		if len(p.by) >= maxPeers {
			p.forget()
		}
		e = &peer{attempts: float64(p.each), at: time.Now()}
		p.by[addr] = e
	}
	if e.lanes >= p.each {
		return nil, fault.New(fault.LaneLimit, "address %s has %d lanes to this core, the limit for one address", addr, e.lanes).
			With("limit", fmt.Sprint(p.each)).WithFix("attach the runner from another address or to another core, or stop runners that are not needed")
	}
	if e.refill(p.each); e.attempts < 1 {
		return nil, fault.New(fault.LaneLimit, "address %s has attached %d times in quick succession; now the limit is %d a second", addr, p.each, attachRate).
			With("limit", fmt.Sprint(attachRate)).WithFix("find out from the logs of its runners why they attach so often")
	}
	e.attempts--
	e.lanes++
	p.lanes++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lanes--
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
// p.mu.
func (p *peers) forget() {
	for _, all := range []bool{false, true} {
		for addr, e := range p.by {
			if all && len(p.by) <= maxPeers/2 {
				break
			}
			if e.refill(p.each); e.lanes == 0 && (all || e.attempts >= float64(p.each)) {
				delete(p.by, addr)
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
		return printable(host, 64)
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

// sparse bounds the log lines that peers can cause.
type sparse struct {
	mu      sync.Mutex
	left    float64
	at      time.Time
	omitted int
}

const (
	sparseBurst = 64
	sparseRate  = 2 // a second
)

// next reports whether a line may be written, and how many were omitted since
// the last one.
func (s *sparse) next() (omitted int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.at.IsZero() {
		s.left = sparseBurst
	} else {
		s.left = min(sparseBurst, s.left+now.Sub(s.at).Seconds()*sparseRate)
	}
	s.at = now
	if s.left < 1 {
		s.omitted++
		return 0, false
	}
	s.left--
	omitted, s.omitted = s.omitted, 0
	return omitted, true
}
