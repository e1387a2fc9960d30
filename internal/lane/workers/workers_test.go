package workers

import (
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// taskFunc is a function as a task.
type taskFunc func()

func (f taskFunc) Run() { f() }

// Workers are kept for the next call, but no more than maxIdle of them, and
// none after the lane has ended.
func TestWorkersAreKept(t *testing.T) {
	const burst = 3 * maxIdle
	var wg sync.WaitGroup
	w := New(&wg)
	waiting := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.idle)
	}
	for range 2 {
		var done sync.WaitGroup
		done.Add(burst)
		release := make(chan struct{})
		for range burst {
			w.Run(taskFunc(func() {
				<-release
				done.Done()
			}))
		}
		close(release)
		done.Wait()
		if !testkit.Poll(testkit.Patience, func() bool { return waiting() == maxIdle }) {
			t.Fatalf("%d workers wait, want %d", waiting(), maxIdle)
		}
	}
	late := make(chan struct{})
	w.Run(taskFunc(func() { <-late }))
	w.End()
	close(late)
	wg.Wait()
	w.Run(taskFunc(func() {}))
	wg.Wait()
}

// The worker that has worked last works next.
func TestTheStackThatWasUsedLastIsUsedNext(t *testing.T) {
	var wg sync.WaitGroup
	w := New(&wg)
	defer wg.Wait()
	defer w.End()
	first, second := make(chan Task, 1), make(chan Task, 1)
	if !w.wait(first) || !w.wait(second) {
		t.Fatal("they do not wait")
	}
	for _, want := range []chan Task{second, first} {
		w.Run(taskFunc(func() {}))
		if len(want) != 1 {
			t.Error("another worker got the task")
		}
	}
}
