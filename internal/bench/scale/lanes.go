package scale

import (
	"fmt"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// few is how many services there are while something else grows.
const few = 10

// lanes measures one core with more and more attached runners.
func (b *bench) lanes() ([]table.Row, error) {
	c := newCurve("lanes", "lane", b.sizes(1, 10, 100, 1000))
	cores := map[int][]*core{}
	for _, n := range c.sizes {
		one, err := b.newCore(fmt.Sprintf("lanes-%d", n))
		if err != nil {
			return nil, err
		}
		if err := seed(b.ctx, one.data, few); err != nil {
			return nil, err
		}
		if _, err := one.start(serviceName(few - 1)); err != nil {
			return nil, err
		}
		cores[n] = []*core{one}
		if _, err := b.attach(cores[n], n, few); err != nil {
			return nil, err
		}
	}
	for range min(starts, b.o.Rounds) {
		if err := b.rest(c, cores); err != nil {
			return nil, err
		}
	}
	if err := b.work(c, func(n int) ([]*core, int, int) { return cores[n], 0, few }); err != nil {
		return nil, err
	}
	return c.finish()
}
