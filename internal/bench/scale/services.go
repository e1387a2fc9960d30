package scale

import (
	"fmt"
	"os"
	"slices"

	"github.com/ruedo-dev/ruedo/internal/bench/load"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// starts is how often a core of each size is started.
const starts = 3

// services measures one core with more and more services.
func (b *bench) services() ([]table.Row, error) {
	c := newCurve("services", "service", b.sizes(10, 100, 1000, 10_000))
	cores := map[int][]*core{}
	for _, n := range c.sizes {
		one, err := b.newCore(fmt.Sprintf("services-%d", n))
		if err != nil {
			return nil, err
		}
		if err := seed(b.ctx, one.data, n); err != nil {
			return nil, err
		}
		cores[n] = []*core{one}
	}
	for round := range min(starts, b.o.Rounds) {
		for _, n := range turns(c.sizes, round) {
			if err := restart(c, n, cores[n][0], n); err != nil {
				return nil, err
			}
		}
		if err := b.rest(c, cores); err != nil {
			return nil, err
		}
	}
	if err := b.work(c, func(n int) ([]*core, int, int) { return cores[n], 1, n }); err != nil {
		return nil, err
	}
	return c.finish()
}

// restart starts a core with n services, again if it runs, and measures that.
func restart(c *curve, size int, one *core, n int) error {
	if one.Process != nil {
		one.Stop()
	}
	took, err := one.start(serviceName(n - 1))
	if err != nil {
		return err
	}
	cpu, err := one.CPU()
	if err != nil {
		return err
	}
	c.add(size, start, ms(took))
	c.add(size, startCPU, ms(cpu))
	return nil
}

// work attaches runners to the cores of each size, and measures calls, then
// publishes, in turns. of returns the cores of a size, and how many runners and
// services they have; no runners means that they are attached already.
func (b *bench) work(c *curve, of func(size int) (cores []*core, runners, services int)) error {
	targets := map[int][]*load.Target{} // a size has one for each core
	for _, size := range c.sizes {
		cores, runners, services := of(size)
		if runners > 0 {
			if _, err := b.attach(cores, runners, services); err != nil {
				return err
			}
		}
		for i := range cores {
			t := calls(cores, i, services)
			if err := load.Each(b.ctx, t, connections); err != nil { // the first call of a service compiles its schema
				return err
			}
			targets[size] = append(targets[size], t)
		}
	}
	for round := range b.o.Rounds {
		for _, size := range turns(c.sizes, round) {
			all := targets[size]
			if err := b.measure(c, size, all[round%len(all)]); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", c.axis, round+1, b.o.Rounds)
	}
	for round := range b.o.Rounds { // after all calls, which would have to collect their garbage
		for _, size := range turns(c.sizes, round) {
			cores, _, _ := of(size)
			if err := b.publish(cores, func(figure string, value float64) { c.add(size, figure, value) }); err != nil {
				return err
			}
		}
	}
	if err := b.pause(2 * settled); err != nil { // a core returns garbage when it has been quiet for a while
		return err
	}
	for _, size := range c.sizes {
		cores, _, _ := of(size)
		for _, one := range cores {
			m, err := one.Memory()
			if err != nil {
				return err
			}
			c.add(size, called, float64(m.Resident)/mb)
		}
	}
	return nil
}

// measure measures calls, of many at a time and of one at a time: what many have in
// common, such as a system call for the frames of several, depends on the size as
// well.
func (b *bench) measure(c *curve, size int, t *load.Target) error {
	many, err := load.Run(b.ctx, t, connections, b.o.Slice)
	if err != nil {
		return err
	}
	one, err := load.Run(b.ctx, t, 1, b.o.Slice)
	if err != nil {
		return err
	}
	c.add(size, call, many.CPU)
	c.add(size, alone, one.CPU)
	return nil
}

// turns returns the sizes in the order of a round: none always follows the same.
func turns(sizes []int, round int) []int {
	if round%2 == 0 {
		return sizes
	}
	sizes = slices.Clone(sizes)
	slices.Reverse(sizes)
	return sizes
}
