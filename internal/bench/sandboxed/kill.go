package sandboxed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/contest"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

const (
	killDeadline = 20 * time.Millisecond
	loopers      = 4
	kills        = 50 // of each looper
)

type killArg struct{ Way string }

type killResult struct{ P50, P99, Max float64 } // microseconds past the deadline

// kill: how long after its deadline is an endless guest stopped, while others
// do the same?
func (b *bench) kill() error {
	var p50, p99, most = contest.Times{}, contest.Times{}, contest.Times{}
	ways := []string{metered, closing}
	for range min(b.Rounds, 3) {
		for _, way := range ways {
			res, err := child[killResult](b.ctx, "kill", killArg{way})
			if err != nil {
				return err
			}
			p50[way] = append(p50[way], res.P50)
			p99[way] = append(p99[way], res.P99)
			most[way] = append(most[way], res.Max)
		}
	}
	for _, way := range ways {
		for _, f := range []struct {
			name string
			t    contest.Times
		}{{"p50", p50}, {"p99", p99}, {"max", most}} {
			b.row("kill/"+f.name+"/"+way, table.Median(f.t[way])/1000, "ms", "kill/"+f.name+"/"+metered, table.Median(table.Ratios(f.t[way], f.t[metered])))
		}
	}
	return nil
}

func serveKill(ctx context.Context, arg killArg) (_ killResult, err error) {
	b, err := newBurner(ctx, arg.Way)
	if err != nil {
		return killResult{}, err
	}
	defer func() { err = errors.Join(err, b.closer(ctx)) }()
	var mu sync.Mutex
	var past []time.Duration
	errs := make([]error, loopers)
	var wg sync.WaitGroup
	for n := range errs {
		loop := b.caller(ctx)
		wg.Go(func() {
			for range kills {
				deadline := time.Now().Add(killDeadline)
				call, cancel := context.WithDeadline(ctx, deadline)
				err := loop(call, math.MaxUint64)
				took := time.Since(deadline)
				if err == nil && took < 0 {
					err = fmt.Errorf("a guest that loops for ever has returned")
				}
				cancel()
				if err != nil {
					errs[n] = err
					return
				}
				mu.Lock()
				past = append(past, took)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return killResult{}, err
	}
	p := percentiles(past)
	return killResult{P50: p(50), P99: p(99), Max: p(100)}, nil
}
