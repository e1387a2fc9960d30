package sandbox

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Turns are shared by the guests of a process that run for longer than a slice:
// as many have one as Go uses processors, and the others wait in the order in
// which they came. All engines of a process should be given the same.
//
// Go's scheduler looks at the network only when it finds nothing to run. With more
// guests than processors there is always one, and whoever waits for the network
// waits for 10 ms each time: a guest that waits for its turn is not to be found,
// and one that has it sleeps now and then.
type Turns struct {
	slots  chan struct{}
	guests atomic.Int32 // that have a turn or wait for one
}

// NewTurns makes turns for the processors that Go uses now.
func NewTurns() *Turns { return &Turns{slots: make(chan struct{}, runtime.GOMAXPROCS(0))} }

// crowded tells that guests take all processors, so that others wait behind them.
// Where one is free it runs what else there is to run, and yielding would only have
// it spin in search of more: half of a processor.
func (t *Turns) crowded() bool { return int(t.guests.Load()) >= cap(t.slots) }

// take waits for a turn, and ends the call where that ends first.
func (i *instance) take() {
	if i.turn {
		return
	}
	slots := i.t.engine.cfg.Turns.slots
	select {
	case slots <- struct{}{}:
		i.turn = true
		return
	default:
	}
	c := i.call
	timer := time.NewTimer(time.Until(c.deadline))
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
		i.turn = true
	case <-timer.C:
		c.stop(stopTimeout)
	case <-c.ctx.Done():
		c.stop(c.end(c.ctx.Err()))
	}
}

// pass gives the turn to whoever waits for longest.
func (i *instance) pass() {
	if i.turn {
		i.turn = false
		<-i.t.engine.cfg.Turns.slots
	}
}
