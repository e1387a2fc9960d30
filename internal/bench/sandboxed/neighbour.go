package sandboxed

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/contest"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

type neighbourArg struct {
	Way     string
	Burners int
	For     time.Duration
}

type neighbourResult struct{ P99 float64 } // microseconds

// neighbour: how long does a trivial call take while others in the process
// compute, and the garbage collector runs? Each way has its own process, because
// a guest that nothing stops holds up all of it.
func (b *bench) neighbour() error {
	burners := []int{0, 1, 4}
	ways := []string{metered, closing, native}
	results := contest.Times{}
	rounds := min(b.Rounds, 3)
	for range rounds {
		for _, n := range burners {
			for _, way := range ways {
				arg := neighbourArg{way, n, 2 * b.Slice}
				res, err := child[neighbourResult](b.ctx, "neighbour", arg)
				if err != nil {
					return err
				}
				name := fmt.Sprintf("%s/%d", way, n)
				results[name] = append(results[name], res.P99)
			}
		}
	}
	row := func(name, baseline string) {
		b.row("neighbour/p99/"+name, table.Median(results[name]), "us", "neighbour/p99/"+baseline,
			table.Median(table.Ratios(results[name], results[baseline])))
	}
	for _, way := range ways {
		for _, n := range burners {
			row(fmt.Sprintf("%s/%d", way, n), way+"/0")
		}
	}
	for _, n := range burners[1:] {
		row(fmt.Sprintf("%s/%d", native, n), fmt.Sprintf("%s/%d", metered, n))
		row(fmt.Sprintf("%s/%d", closing, n), fmt.Sprintf("%s/%d", metered, n))
	}
	return nil
}

// burnRounds takes a guest about a second natively. A guest that watches its
// context would take several seconds, so its deadline ends it.
const burnRounds = 3_000_000_000

func serveNeighbour(ctx context.Context, arg neighbourArg) (_ neighbourResult, err error) {
	debug.SetGCPercent(100)
	b, err := newBurner(ctx, arg.Way)
	if err != nil {
		return neighbourResult{}, err
	}
	defer func() { err = errors.Join(err, b.closer(ctx)) }()
	small := b.caller(ctx)
	if err := small(ctx, 0); err != nil {
		return neighbourResult{}, err
	}
	end := time.Now().Add(arg.For)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	errs := make([]error, arg.Burners)
	var wg sync.WaitGroup
	for n := range errs {
		burn := b.caller(context.WithoutCancel(ctx))
		wg.Go(func() {
			for ctx.Err() == nil && errs[n] == nil {
				errs[n] = burn(ctx, burnRounds)
			}
		})
	}
	wg.Go(func() { litter(ctx) })
	late, callErr := everyHalf(ctx, end, func() error { return small(context.WithoutCancel(ctx), 0) })
	wg.Wait()
	if err := errors.Join(append(errs, callErr)...); err != nil {
		return neighbourResult{}, err
	}
	return neighbourResult{P99: percentiles(late)(99)}, nil
}

// litter keeps the garbage collector busy until ctx ends.
func litter(ctx context.Context) {
	var kept [][]byte
	for ctx.Err() == nil {
		if kept = append(kept, make([]byte, 64<<10)); len(kept) > 64 {
			kept = nil
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// everyHalf calls every half millisecond on a new goroutine, and returns for
// each call the time from when it was due to its end. So a call that delays the
// next ones counts for them, too.
func everyHalf(ctx context.Context, end time.Time, call func() error) ([]time.Duration, error) {
	var late []time.Duration
	for due := time.Now(); ctx.Err() == nil && due.Before(end); {
		due = due.Add(500 * time.Microsecond)
		time.Sleep(time.Until(due))
		done := make(chan error, 1)
		go func() { done <- call() }()
		if err := <-done; err != nil {
			return nil, err
		}
		late = append(late, time.Since(due))
	}
	return late, nil
}

// percentiles returns a function from percent to microseconds.
func percentiles(d []time.Duration) func(percent int) float64 {
	slices.Sort(d)
	return func(percent int) float64 {
		if len(d) == 0 {
			return 0
		}
		return micro(d[min(len(d)*percent/100, len(d)-1)])
	}
}
