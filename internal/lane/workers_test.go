package lane

import (
	"sync"
	"testing"
	"time"
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
		for deadline := time.Now().Add(10 * time.Second); w.idle.Load() != maxIdle; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d workers wait, want %d", w.idle.Load(), maxIdle)
			}
		}
	}
	close(stop)
	wg.Wait()
}
