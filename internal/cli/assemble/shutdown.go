package assemble

import (
	"context"
	"errors"
	"time"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/internal/inflight"
)

// The end of a process is bounded here, whatever hangs: a part that does not end
// in time is abandoned, and the error names it. The process then exits with
// that error.
const (
	// serveTimeout bounds how long a part serves after it was told to stop: calls
	// in flight finish, then connections are closed.
	serveTimeout = core.DefaultDrain + 15*time.Second
	// closeTimeout is what a core or runner gets to close its parts.
	closeTimeout = 5 * time.Second
	// partTimeout bounds closing anything that was made. It leaves an embedded
	// store the time to write to its disk.
	partTimeout = 12 * time.Second
)

// closer is something that Close closes.
type closer struct {
	what  string
	close func() error
}

// onClose makes Close call f, which closes what is named. The last f is called
// first.
func (a *Assembler) onClose(what string, f func() error) {
	a.closers = append(a.closers, closer{what, f})
}

// Close closes everything that was made. What it served must have ended before.
// It returns within a bounded time.
func (a *Assembler) Close() error {
	var errs []error
	for len(a.closers) > 0 {
		last := a.closers[len(a.closers)-1]
		a.closers = a.closers[:len(a.closers)-1]
		errs = append(errs, within(partTimeout, last.what, last.close))
	}
	return errors.Join(errs...)
}

// within bounds how long f can take.
func within(limit time.Duration, what string, f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return inflight.Within(ctx, what, func(context.Context) error { return f() })
}

// patient returns a function that calls f with closeTimeout.
func patient(f func(context.Context) error) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return f(ctx)
	}
}

// serve runs a part until ctx ends, and then waits until it has ended. f's
// goroutine is abandoned if that takes longer than serveTimeout and the delay
// with which the part begins to end.
func serve(ctx context.Context, what string, delay time.Duration, f func(context.Context) error) error {
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return within(serveTimeout+delay, what, func() error { return <-ended })
	}
}
