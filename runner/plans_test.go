package runner

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/exec/exectest"
	"github.com/ruedo-dev/ruedo/runner/modules"
	"github.com/ruedo-dev/ruedo/sandbox"
)

func TestIdlePlansLeaveMemory(t *testing.T) {
	dir := SharedCache
	cache, err := modules.Open(modules.Config{Dir: filepath.Join(dir, "modules")})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := sandbox.New(t.Context(), sandbox.Config{CacheDir: filepath.Join(dir, "compiled")})
	if err != nil {
		t.Fatal(err)
	}
	p := newPlans(engine, cache, 2)
	defer func() {
		p.stop()
		if err := p.close(t.Context()); err != nil {
			t.Error(err)
		}
		cache.Close()
		if err := engine.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	src := exectest.NewSource()
	guest := exectest.Guest(t)
	ids := make([]string, 4)
	for i := range ids {
		ids[i], _ = src.Add(guest, func(plan *runnerv1.Plan) { plan.Revision = uint64(i) })
	}
	get := func(i int) *prepared {
		t.Helper()
		e, err := p.acquire(t.Context(), ids[i], nil, src)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	check := func(want ...int) {
		t.Helper()
		if len(p.table) != len(want) {
			t.Errorf("%d plans are kept", len(p.table))
		}
		for _, i := range want {
			if p.table[ids[i]] == nil {
				t.Errorf("plan %d is gone", i)
			}
		}
	}
	zero, one := get(0), get(1)
	two := get(2) // all three are in use: none goes
	check(0, 1, 2)
	for _, e := range []*prepared{zero, one, two} {
		if _, err := e.template.Call(t.Context(), sandbox.Request{Input: []byte("echo x")}); err != nil {
			t.Errorf("a plan in use does not work: %v", err)
		}
		p.release(e)
	}
	p.release(get(0))
	three := get(3) // 1 and 2 were not used for longest
	check(0, 3)
	p.release(three)
	if n := src.Asked(ids[1]); n != 1 {
		t.Errorf("asked %d times", n)
	}
	p.release(get(1)) // it comes back
	if n := src.Asked(ids[1]); n != 2 {
		t.Errorf("asked %d times", n)
	}

	// Hammered with more plans than it keeps, it gives each call its own.
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				e := get((g + i) % len(ids))
				out, err := e.template.Call(t.Context(), sandbox.Request{Input: fmt.Appendf(nil, "echo %d", g)})
				if err != nil || string(out.Output) != fmt.Sprint(g) {
					t.Errorf("got %q, %v", out.Output, err)
				}
				p.release(e)
			}
		})
	}
	wg.Wait()
}
