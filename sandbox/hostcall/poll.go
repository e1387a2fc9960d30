package hostcall

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// Numbers of WASI preview 1.
const (
	wasiOK          = 0
	wasiBadf        = 8
	wasiExist       = 20
	wasiFault       = 21
	wasiInval       = 28
	wasiIsdir       = 31
	wasiNametoolong = 37
	wasiNoent       = 44
	wasiNotsup      = 58
	wasiPerm        = 63
	wasiRofs        = 69
	wasiSpipe       = 70
	wasiNotcapable  = 76
	eventClock      = 0
	eventRead       = 1
	eventWrite      = 2
	clockReal       = 0
	clockMono       = 1
	clockProcess    = 2
	clockThread     = 3
	absolute        = 1
	subscribed      = 48 // bytes of a subscription
	occurred        = 32 // bytes of an event
	maxPollSubs     = 4096
)

// poll is poll_oneoff: it waits for the first of some clocks, or returns
// immediately if a standard stream is asked for, as these are always ready.
func (h *Host) poll(g *Guest, mem api.Memory, stack []uint64) uint32 {
	in, out, n, nevents := arg(stack, 0), arg(stack, 1), arg(stack, 2), arg(stack, 3)
	if n == 0 || n > maxPollSubs {
		return wasiInval
	}
	subs, ok := mem.Read(in, n*subscribed)
	events, ok2 := mem.Read(out, n*occurred)
	if _, ok3 := mem.Read(nevents, 4); !ok || !ok2 || !ok3 {
		return wasiFault
	}
	g.meter.Step(len(subs))
	// The guest may have made the lists overlap.
	subs = append([]byte(nil), subs...)
	wait, ready := time.Duration(math.MaxInt64), false
	due := make([]time.Duration, n) // of clocks
	for n := range due {
		s := subs[n*subscribed:][:subscribed]
		switch s[8] {
		case eventClock:
			d, errno := h.remaining(s)
			if errno != wasiOK {
				return errno
			}
			due[n] = d
			wait = min(wait, d)
		case eventRead, eventWrite:
			ready = true
		default:
			return wasiInval
		}
	}
	if ready {
		wait = 0
	}
	g.meter.Sleep(wait)
	var count uint32
	for n := range due {
		s := subs[n*subscribed:][:subscribed]
		errno := uint16(wasiOK)
		if s[8] == eventClock {
			if due[n] > wait {
				continue
			}
		} else if binary.LittleEndian.Uint32(s[16:]) > 2 {
			errno = wasiBadf
		}
		ev := events[count*occurred:][:occurred]
		clear(ev)
		copy(ev, s[:8])
		binary.LittleEndian.PutUint16(ev[8:], errno)
		ev[10] = s[8]
		count++
	}
	mem.WriteUint32Le(nevents, count)
	return wasiOK
}

// remaining returns the time until the clock of a subscription fires.
func (h *Host) remaining(s []byte) (time.Duration, uint32) {
	id, timeout := binary.LittleEndian.Uint32(s[16:]), binary.LittleEndian.Uint64(s[24:])
	d := time.Duration(min(timeout, math.MaxInt64))
	switch flags := binary.LittleEndian.Uint16(s[40:]); {
	case flags == 0:
		return d, wasiOK
	case flags != absolute:
		return 0, wasiInval
	case id == clockReal:
		return max(d-time.Duration(time.Now().UnixNano()), 0), wasiOK
	case id == clockMono:
		return max(d-time.Duration(h.monotonic()), 0), wasiOK
	}
	return 0, wasiNotsup
}
