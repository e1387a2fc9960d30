package scale

import (
	"fmt"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// cores measures clusters of more and more cores, each with a member of the
// store.
func (b *bench) cores() ([]table.Row, error) {
	c := newCurve("cores", "core", b.sizes(1, 3, 5))
	clusters := map[int][]*core{}
	for _, n := range c.sizes {
		all, err := b.cluster(n)
		if err != nil {
			return nil, err
		}
		clusters[n] = all
	}
	for round := range min(starts, b.o.Rounds) {
		for _, n := range turns(c.sizes, round) {
			if err := restart(c, n, clusters[n][n-1], few); err != nil {
				return nil, err
			}
		}
		if err := b.rest(c, clusters); err != nil {
			return nil, err
		}
	}
	if err := b.work(c, func(n int) ([]*core, int, int) { return clusters[n], 1, few }); err != nil {
		return nil, err
	}
	return c.finish()
}

// cluster starts a cluster of n cores with a few services. The first one has
// them; the others join it, one after the other.
func (b *bench) cluster(n int) ([]*core, error) {
	var all []*core
	for i := range n {
		peer, err := process.FreePort()
		if err != nil {
			return nil, err
		}
		env := []string{"RUEDO_STORE_PEER_ADDRESS=127.0.0.1:" + peer}
		var urls []string
		for _, other := range all {
			urls = append(urls, other.url)
		}
		if i > 0 {
			env = append(env, "RUEDO_STORE_JOIN="+strings.Join(urls, " "))
		}
		one, err := b.newCore(fmt.Sprintf("cores-%d-%d", n, i), env...)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
		if i > 0 {
			if _, err := one.start(serviceName(few - 1)); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := one.start(""); err != nil {
			return nil, err
		}
		if err := b.fill(one); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// fill publishes a few services through a core. The runner that this needs is
// gone afterwards.
func (b *bench) fill(c *core) error {
	runner, err := b.attach([]*core{c}, 1, 0)
	if err != nil {
		return err
	}
	defer runner.Stop()
	module, wasm := echo()
	if _, err := c.api.Upload(b.ctx, wasm, nil); err != nil {
		return err
	}
	for i := range few {
		d, err := decorator(i)
		if err != nil {
			return err
		}
		if err := c.publishFirst(service(i, module), d); err != nil {
			return err
		}
	}
	return nil
}
