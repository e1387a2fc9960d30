package password

import (
	"context"
	"time"
)

const (
	// restFactor is how much longer than a hash waited for processors they rest after it,
	// and maxRest how long they do at most.
	restFactor = 100
	maxRest    = 500 * time.Millisecond
)

// rest is when strangers' passwords are hashed again.
//
// A processor with a hash does not help out the others, even though it lets go of the
// hash when somebody wakes up. So what matters to the slowest of a hundred calls is for
// which part of the time there is a hash. If others need a part b of a processor, a hash
// waits for that part of its time, and so there is one for 1/(1+restFactor*b) of all
// time: always on a machine that does nothing else, and seldom on one that is busy.
type rest struct{ until time.Time }

// after begins the rest after a hash that waited so long for processors.
func (r *rest) after(waited time.Duration) {
	r.until = time.Now().Add(min(restFactor*waited, maxRest))
}

// wait waits until the rest is over. It fails with the cause of ctx.
func (r *rest) wait(ctx context.Context) error {
	left := time.Until(r.until)
	if left <= 0 {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
