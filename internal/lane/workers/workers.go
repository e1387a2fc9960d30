// Package workers does tasks on goroutines that are kept for the next task.
//
// A call needs more stack than a new goroutine has, and growing it costs more than the
// goroutine itself. The worker that has worked last works next: its stack is still in
// the processor's cache.
package workers

import "sync"

// maxIdle is how many workers wait for work. Each holds a stack of about 16 KiB.
const maxIdle = 64

// Workers do tasks. They can be used from many goroutines.
type Workers struct {
	wg *sync.WaitGroup

	mu    sync.Mutex
	idle  []chan Task // those that wait, the one that has worked last at the end
	ended bool
}

// Task is what a worker does.
type Task interface{ Run() }

// New returns workers that wg waits for.
func New(wg *sync.WaitGroup) *Workers { return &Workers{wg: wg} }

// Run runs t without waiting for it.
func (w *Workers) Run(t Task) {
	if worker := w.last(); worker != nil {
		worker <- t
		return
	}
	w.wg.Go(func() {
		next := make(chan Task, 1)
		for ok := true; ok; t, ok = <-next {
			t.Run()
			if !w.wait(next) {
				return
			}
		}
	})
}

// last returns the worker that has worked last, which then no longer waits; nil if
// all work.
func (w *Workers) last() chan Task {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.idle)
	if n == 0 {
		return nil
	}
	worker := w.idle[n-1]
	w.idle = w.idle[:n-1]
	return worker
}

// wait makes a worker wait for its next task. It reports false if none is to come.
func (w *Workers) wait(worker chan Task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || len(w.idle) == maxIdle {
		return false
	}
	w.idle = append(w.idle, worker)
	return true
}

// End ends the workers that wait, and the others after their task.
func (w *Workers) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for _, worker := range w.idle {
		close(worker)
	}
	w.idle = nil
}
