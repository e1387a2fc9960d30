package lane

import (
	"sync"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// Workers are kept for the next call, but no more than maxIdle of them, and
// none after the lane has ended.
func TestWorkersAreKept(t *testing.T) {
	const burst = 3 * maxIdle
	var wg sync.WaitGroup
	stop := make(chan struct{})
	w := newWorkers(&wg, stop)
	for range 2 {
		var done sync.WaitGroup
		done.Add(burst)
		release := make(chan struct{})
		for range burst {
			w.run(func() {
				<-release
				done.Done()
			})
		}
		close(release)
		done.Wait()
		if !testkit.Poll(testkit.Patience, func() bool { return w.idle.Load() == maxIdle }) {
			t.Fatalf("%d workers wait, want %d", w.idle.Load(), maxIdle)
		}
	}
	close(stop)
	wg.Wait()
}
