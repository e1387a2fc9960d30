package sandboxed

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/contest"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// workers: do restored calls slow each other down? One worker and two make the
// same number of calls each. By wall time, two make twice as many calls per
// second if the machine has two idle processors. By processor time, two do so
// if no call takes longer because of the other. Plain instances share nothing,
// and show what the machine can do.
func (b *bench) workers() (err error) {
	f := &field{ctx: b.ctx}
	defer func() { err = errors.Join(err, f.close()) }()
	wasm, _, err := b.goGuest("function")
	if err != nil {
		return err
	}
	engine, err := sandbox.New(b.ctx, sandbox.Config{})
	if err != nil {
		return err
	}
	f.closers = append(f.closers, func() error { return engine.Close(context.WithoutCancel(b.ctx)) })
	t, err := engine.Load(b.ctx, sandbox.Spec{Wasm: wasm, Isolation: sandbox.Pristine, Example: []byte(input)})
	if err != nil {
		return err
	}
	p, err := newPlain(b.ctx, wasm, false)
	if err != nil {
		return err
	}
	f.closers = append(f.closers, p.close)
	for _, name := range []string{"plain", "pristine"} {
		for range 2 {
			call := func() ([]byte, error) {
				res, err := t.Call(b.ctx, sandbox.Request{Input: []byte(input)})
				return res.Output, err
			}
			if name == "plain" {
				i, err := p.start(b.ctx)
				if err != nil {
					return err
				}
				call = func() ([]byte, error) { return i.answer(b.ctx, []byte(input)) }
			}
			f.add(name, call)
		}
	}
	for pair := range 2 {
		if err := b.scaling(f.contenders[2*pair:][:2]); err != nil {
			return err
		}
	}
	return nil
}

// scaling compares two workers with the first of them alone.
func (b *bench) scaling(workers []contest.Contender) error {
	n, err := contest.Calibrate(workers[0], b.Slice/5)
	if err != nil {
		return err
	}
	var rate, cost [2][]float64
	for range b.Rounds {
		for w := range 2 {
			errs := make([]error, w+1)
			cpu, began := contest.CPU(), time.Now()
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { errs[i] = workers[i].Do(n) })
			}
			wg.Wait()
			done := float64(n * (w + 1))
			rate[w] = append(rate[w], done/time.Since(began).Seconds())
			cost[w] = append(cost[w], micro(contest.CPU()-cpu)/done)
			if err := errors.Join(errs...); err != nil {
				return err
			}
		}
	}
	one, two := "workers/"+workers[0].Name+"/1", "workers/"+workers[0].Name+"/2"
	gain := table.Ratios(cost[0], cost[1])
	for i := range gain {
		gain[i] *= 2
	}
	b.row(one+"/clock", table.Median(rate[0]), "1/s", "", 0)
	b.row(two+"/clock", table.Median(rate[1]), "1/s", one+"/clock", table.Median(table.Ratios(rate[1], rate[0])))
	b.row(one+"/cpu", table.Median(cost[0]), "cpu us", "", 0)
	b.row(two+"/cpu", table.Median(cost[1]), "cpu us", one+"/cpu, calls/s", table.Median(gain))
	return nil
}
