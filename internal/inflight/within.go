package inflight

import (
	"context"
	"fmt"
	"time"
)

// grace is how long something whose context has ended can take to notice.
const grace = 500 * time.Millisecond

// Within calls f and returns its error. If f has not returned soon after ctx has
// ended, Within abandons its goroutine and returns an error that names
// it as what. It is for shutting down, where nothing may wait forever.
func Within(ctx context.Context, what string, f func(context.Context) error) error {
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last := time.NewTimer(grace)
	defer last.Stop()
	select {
	case err := <-ended:
		return err
	case <-last.C:
		return fmt.Errorf("%s did not stop within %v", what, time.Since(began).Round(100*time.Millisecond))
	}
}
