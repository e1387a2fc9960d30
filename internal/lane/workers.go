package lane

import (
	"sync"
	"sync/atomic"
)

// maxIdle is how many workers wait for work. Each holds a stack of about 16 KiB.
const maxIdle = 64

// workers run functions on goroutines that are kept for the next function. A
// call needs more stack than a new goroutine has, and growing it costs more
// than the goroutine itself.
type workers struct {
	wg   *sync.WaitGroup
	stop <-chan struct{} // closed to end those that wait for work
	work chan func()
	idle atomic.Int32 // how many wait
}

func newWorkers(wg *sync.WaitGroup, stop <-chan struct{}) *workers {
	return &workers{wg: wg, stop: stop, work: make(chan func())}
}

// run runs f without waiting for it.
func (w *workers) run(f func()) {
	select {
	case w.work <- f:
	default:
		w.wg.Go(func() { w.serve(f) })
	}
}

func (w *workers) serve(f func()) {
	for {
		f()
		if w.idle.Add(1) > maxIdle {
			w.idle.Add(-1)
			return
		}
		select {
		case f = <-w.work:
			w.idle.Add(-1)
		case <-w.stop:
			return
		}
	}
}
