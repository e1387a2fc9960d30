package hostcall

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/sandbox/hostcall/socket"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/wasi"
)

// Of poll_oneoff.
const (
	eventClock  = 0
	absolute    = 1
	subscribed  = 48 // bytes of a subscription
	occurred    = 32 // bytes of an event
	maxPollSubs = 4096
)

// The clocks.
const (
	clockReal    = 0
	clockMono    = 1
	clockProcess = 2
	clockThread  = 3
)

// poll is poll_oneoff: it waits for the first of some clocks and streams. It
// returns immediately if a standard stream is asked for, as these are always ready.
func (h *Host) poll(g *Guest, mem api.Memory, stack []uint64) uint32 {
	in, out, n, nevents := arg(stack, 0), arg(stack, 1), arg(stack, 2), arg(stack, 3)
	if n == 0 || n > maxPollSubs {
		return wasi.Inval
	}
	subs, ok := mem.Read(in, n*subscribed)
	events, ok2 := mem.Read(out, n*occurred)
	if _, ok3 := mem.Read(nevents, 4); !ok || !ok2 || !ok3 {
		return wasi.Fault
	}
	g.meter.Step(len(subs))
	// The guest may have made the lists overlap.
	subs = append([]byte(nil), subs...)
	wait, ready := forever, false
	due := make([]time.Duration, n) // of clocks
	var asked *socket.Interest
	for n := range due {
		s := subs[n*subscribed:][:subscribed]
		switch s[8] {
		case eventClock:
			d, errno := h.remaining(s)
			if errno != wasi.OK {
				return errno
			}
			due[n] = d
			wait = min(wait, d)
		case socket.EventRead, socket.EventWrite:
			fd := binary.LittleEndian.Uint32(s[16:])
			f := g.call.file(fd)
			switch {
			case f == nil:
				ready = true
			case asked == nil:
				asked = new(socket.Interest)
				fallthrough
			default:
				asked.Add(f, fd, s[8])
			}
		default:
			return wasi.Inval
		}
	}
	began := time.Now()
	passed := time.Duration(0)
	if !ready {
		g.waitFor(asked, wait)
		passed = time.Since(began)
	}
	count := uint32(0)
	for n := range due {
		s, ev := subs[n*subscribed:][:subscribed], events[count*occurred:][:occurred]
		if s[8] == eventClock && due[n] > passed || s[8] != eventClock && !happened(g.call, s, ev) {
			continue
		}
		if s[8] == eventClock {
			clear(ev)
		}
		copy(ev, s[:8])
		ev[10] = s[8]
		count++
	}
	mem.WriteUint32Le(nevents, count)
	return wasi.OK
}

// waitFor waits for the streams of interest, which is nil if there are none.
func (g *Guest) waitFor(asked *socket.Interest, d time.Duration) {
	if asked == nil {
		g.wait(never, d)
		return
	}
	g.wait(asked.Ready, d)
}

func never() bool { return false }

// happened fills an event of a descriptor in, except for what it has of its
// subscription, and reports whether there is one.
func happened(c *Call, sub, ev []byte) bool {
	fd := binary.LittleEndian.Uint32(sub[16:])
	if f := c.file(fd); f != nil {
		return socket.Event(f, sub[8], ev)
	}
	clear(ev)
	if fd > 2 {
		binary.LittleEndian.PutUint16(ev[8:], wasi.Badf)
	}
	return true
}

// remaining returns the time until the clock of a subscription fires.
func (h *Host) remaining(s []byte) (time.Duration, uint32) {
	id, timeout := binary.LittleEndian.Uint32(s[16:]), binary.LittleEndian.Uint64(s[24:])
	d := time.Duration(min(timeout, math.MaxInt64))
	switch flags := binary.LittleEndian.Uint16(s[40:]); {
	case flags == 0:
		return d, wasi.OK
	case flags != absolute:
		return 0, wasi.Inval
	case id == clockReal:
		return max(d-time.Duration(time.Now().UnixNano()), 0), wasi.OK
	case id == clockMono:
		return max(d-time.Duration(h.monotonic()), 0), wasi.OK
	}
	return 0, wasi.Notsup
}
