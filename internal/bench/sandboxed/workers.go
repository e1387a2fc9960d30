package sandboxed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// workers: do restored calls get in each other's way? One worker and two do the
// same number of calls each. By the clock two do twice as many a second if the
// machine has two processors to itself; by processor time, if no call takes
// longer because of the other.
func (b *bench) workers() (err error) {
	wasm, _, err := b.goGuest("function")
	if err != nil {
		return err
	}
	engine, err := sandbox.New(b.ctx, sandbox.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close(context.WithoutCancel(b.ctx))) }()
	t, err := engine.Load(b.ctx, sandbox.Spec{Wasm: wasm, Example: []byte(input)})
	if err != nil {
		return err
	}
	one := func(n int) error {
		for range n {
			if _, err := t.Call(b.ctx, sandbox.Request{Input: []byte(input)}); err != nil {
				return err
			}
		}
		return nil
	}
	n, err := calibrate(contender{"", one}, b.Slice/5)
	if err != nil {
		return err
	}
	var rate, cost [2][]float64
	for range b.Rounds {
		for w := range 2 {
			errs := make([]error, w+1)
			cpu, began := processorTime(), time.Now()
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { errs[i] = one(n) })
			}
			wg.Wait()
			done := float64(n * (w + 1))
			rate[w] = append(rate[w], done/time.Since(began).Seconds())
			cost[w] = append(cost[w], micro(processorTime()-cpu)/done)
			if err := errors.Join(errs...); err != nil {
				return err
			}
		}
	}
	for w, name := range []string{"workers/1", "workers/2"} {
		gain := table.Ratios(cost[0], cost[w])
		for i := range gain {
			gain[i] *= float64(w + 1)
		}
		b.row(name+"/clock", table.Median(rate[w]), "1/s", "workers/1/clock", table.Median(table.Ratios(rate[w], rate[0])))
		b.row(name+"/cpu", float64(w+1)*1e6/table.Median(cost[w]), "1/s", "workers/1/cpu", table.Median(gain))
	}
	if got := t.Report().Isolation; got != sandbox.Pristine {
		return fmt.Errorf("the isolation is %s", got)
	}
	return nil
}
