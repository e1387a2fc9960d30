package exchange

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/load"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

var concurrencies = []int{1, 16}

// bench is one run.
type bench struct {
	ctx      context.Context
	o        Options
	subjects []*subject
	// functions are the clusters whose calls of a function are compared; ours is the
	// first one.
	functions []*subject

	// keys are the figures that were measured, in order; figures are their values,
	// round by round.
	keys    []key
	figures map[string][]float64
}

// key is a figure: what was measured, of which subject.
type key struct{ what, subject, figure, unit string }

// row is the name of the figure's row.
func (k key) row() string { return "exchange/" + k.what + "/" + k.subject + "/" + k.figure }

func (b *bench) add(k key, value float64) {
	name := k.row()
	if len(b.figures[name]) == 0 {
		b.keys = append(b.keys, k)
	}
	b.figures[name] = append(b.figures[name], value)
}

// measure measures everything. Streams that stay open come first, because their
// memory is what processes have not needed before.
func (b *bench) measure() error {
	for _, s := range b.subjects {
		if b.o.Part != "" {
			break
		}
		if err := b.open(s); err != nil {
			return fmt.Errorf("%s: open streams: %w", s.name, err)
		}
	}
	for round := range b.o.Rounds {
		for _, sc := range scenarios {
			if b.o.Part != "" && b.o.Part != sc.name {
				continue
			}
			for _, n := range concurrencies {
				for _, s := range inTurns(b.subjects, round) {
					if s.plain && !sc.plain {
						continue
					}
					if err := b.calls(s, sc, n); err != nil {
						return fmt.Errorf("%s: %s, %d connections: %w", s.name, sc.name, n, err)
					}
				}
			}
		}
		for _, s := range inTurns(b.subjects, round) {
			if s.plain || b.o.Part != "" {
				continue
			}
			if err := b.copy(s); err != nil {
				return fmt.Errorf("%s: copy: %w", s.name, err)
			}
		}
		for _, n := range concurrencies {
			for _, s := range inTurns(b.functions, round) {
				if err := b.function(s, n); err != nil {
					return err
				}
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, b.o.Rounds)
	}
	return nil
}

// inTurns returns the subjects in the order of a round: none always follows
// another one.
func inTurns(of []*subject, round int) []*subject {
	of = slices.Clone(of)
	if round%2 == 1 {
		slices.Reverse(of)
	}
	return of
}

// slice is how long a measurement lasts.
func (b *bench) slice() time.Duration { return b.o.Slice * 3 / 5 }

// patience is how much longer than it lasts a measurement can take.
const patience = 30 * time.Second

// calls measures a scenario with n callers.
func (b *bench) calls(s *subject, sc scenario, n int) error {
	limited, stop := context.WithTimeout(b.ctx, b.slice()+patience)
	defer stop()
	callers := make([]*caller, n)
	for i := range callers {
		c, err := sc.open(limited, s.url)
		if err != nil {
			return err
		}
		defer c.close()
		callers[i] = c
		if _, err := c.call(); err != nil { // the connections of both hops
			return err
		}
	}
	end := time.Now().Add(b.slice())
	firsts := make([][]float64, n)
	r, err := load.Measure(s.processes, n, func(i int) (times []time.Duration, err error) {
		for time.Now().Before(end) && limited.Err() == nil {
			start := time.Now()
			first, err := callers[i].call()
			if err != nil {
				return nil, err
			}
			times = append(times, time.Since(start))
			if !first.IsZero() {
				firsts[i] = append(firsts[i], float64(first.Sub(start).Nanoseconds())/1000)
			}
		}
		return times, nil
	})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s/c=%d", sc.name, n)
	b.add(key{what, s.name, "p50", "us"}, r.P50)
	if all := slices.Concat(firsts...); len(all) > 0 {
		b.add(key{what, s.name, "first", "us"}, table.Median(all))
	}
	b.add(key{what, s.name, "cpu", "cpu us"}, r.CPU)
	return nil
}

// copy measures bytes there and back, several times in a round.
func (b *bench) copy(s *subject) error {
	const times = 3
	r, err := load.Measure(s.processes, 1, func(int) (all []time.Duration, err error) {
		for range times {
			took, err := copyBack(b.ctx, s.url)
			if err != nil {
				return nil, err
			}
			all = append(all, took)
		}
		return all, nil
	})
	if err != nil {
		return err
	}
	b.add(key{"copy", s.name, "clock", "ms"}, r.P50/1000)
	b.add(key{"copy", s.name, "work", "cpu ms"}, r.CPU/1000)
	return nil
}

// function measures calls of a function.
func (b *bench) function(s *subject, n int) error {
	const input = `{"name":"Ada"}`
	t := &load.Target{Name: s.name, URL: s.url, Requests: [][]byte{load.Post("/call/echo", input)}, Want: input, Processes: s.processes}
	r, err := load.Run(b.ctx, t, n, b.slice())
	if err != nil {
		return err
	}
	what := fmt.Sprintf("function/c=%d", n)
	b.add(key{what, s.name, "p50", "us"}, r.P50)
	b.add(key{what, s.name, "cpu", "cpu us"}, r.CPU)
	return nil
}

// held is how many streams stay open, and settled how long until their memory is
// measured, and then their processor time.
const (
	held    = 400
	settled = 3 * time.Second
)

// use is what processes have in use.
type use struct{ private, threads float64 }

func usage(of []*process.Process) (u use, err error) {
	for _, p := range of {
		m, err := p.Memory()
		if err != nil {
			return u, err
		}
		n, err := p.Threads()
		if err != nil {
			return u, err
		}
		u.private += float64(m.Private)
		u.threads += float64(n)
	}
	return u, nil
}

// open measures streams of events that stay open, each with an event in a second.
func (b *bench) open(s *subject) error {
	warm, err := scenarios[0].open(b.ctx, s.url)
	if err != nil {
		return err
	}
	defer warm.close()
	if _, err := warm.call(); err != nil {
		return err
	}
	first, err := usage(s.processes)
	if err != nil {
		return err
	}
	for range held {
		c, err := listen(s.url)
		if err != nil {
			return err
		}
		defer c.Close()
	}
	if err := b.wait(settled); err != nil {
		return err
	}
	second, err := usage(s.processes)
	if err != nil {
		return err
	}
	from, err := process.CPU(s.processes)
	if err != nil {
		return err
	}
	if err := b.wait(settled); err != nil {
		return err
	}
	to, err := process.CPU(s.processes)
	if err != nil {
		return err
	}
	b.add(key{"open", s.name, "memory", "KiB"}, (second.private-first.private)/held/1024)
	b.add(key{"open", s.name, "threads", ""}, second.threads)
	b.add(key{"open", s.name, "idle", ""}, first.threads)
	b.add(key{"open", s.name, "second", "cpu us"}, float64((to-from).Microseconds())/settled.Seconds()/held)
	return nil
}

// listen opens a stream of events, and waits for the first one. Nobody reads the
// others: there are few.
func listen(url string) (*load.Conn, error) {
	c, prefix, err := dial(url)
	if err != nil {
		return nil, err
	}
	err = func() error {
		if err := c.Send(request("GET", prefix+"/events", "", nil)); err != nil {
			return err
		}
		res, err := http.ReadResponse(c.Reader, nil)
		if err != nil {
			return err
		}
		event := make([]byte, len("data: now\n\n"))
		if _, err := res.Body.Read(event); err != nil || string(event) != "data: now\n\n" {
			return errors.Join(err, fmt.Errorf("%s: the first event is %q", res.Status, event))
		}
		return nil
	}()
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (b *bench) wait(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
}
