package pristine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// player does random things to a memory and to a model of it, an ordinary
// slice.
type player struct {
	t       testing.TB
	rng     *rand.Rand
	m       *Memory
	runtime *runtimeMemory
	image   []byte
	model   []byte
	limit   int
	paths   [4]int
}

func newPlayer(t testing.TB, image *Image, mem []byte, limit, seed uint64) *player {
	m := newMemory(t, image, limit)
	r := run(m, 0)
	same(t, "a new memory", r.bytes, mem)
	return &player{t: t, rng: rand.New(rand.NewPCG(seed, 1)), m: m, runtime: r, image: mem, limit: int(limit)}
}

// round is one call or several, and a restore.
func (p *player) round() {
	p.model = append(p.model[:0], p.image...)
	for range 1 + p.rng.IntN(8)/7 {
		p.window()
		same(p.t, "after a call", p.runtime.bytes, p.model)
		if p.rng.IntN(16) == 0 { // the host writes outside a window
			p.write(p.rng.IntN(4))
			p.m.markDirty()
		}
		if p.rng.IntN(64) == 0 { // another goroutine does
			var wg sync.WaitGroup
			wg.Go(func() { p.write(2) })
			wg.Wait()
			p.m.markDirty()
		}
	}
	cost := restore(p.t, p.m, p.runtime)
	p.paths[cost.Path]++
	same(p.t, "after a restore", p.runtime.bytes, p.image)
	checkHotSet(p.t, p.m)
	if p.rng.IntN(256) == 0 {
		if err := p.m.Trim(); err != nil {
			p.t.Fatal(err)
		}
		same(p.t, "after a trim", p.runtime.bytes, p.image)
	}
}

func (p *player) window() {
	p.m.Begin()
	defer p.m.End()
	for range p.rng.IntN(4) {
		switch p.rng.IntN(8) {
		case 0:
			p.grow()
		case 1:
			p.read()
		case 2:
			p.fill()
		default:
			p.write(p.rng.IntN(6))
		}
	}
}

// write writes bytes where most calls write, or anywhere.
func (p *player) write(n int) {
	for range n {
		if len(p.model) == 0 {
			return
		}
		at := p.rng.IntN(8) * len(p.model) / 8
		if p.rng.IntN(4) == 0 {
			at = p.rng.IntN(len(p.model))
		}
		for i := at; i < min(at+p.rng.IntN(9000), len(p.model)); i += 1 + p.rng.IntN(700) {
			v := byte(p.rng.Uint32())
			p.model[i], p.runtime.bytes[i] = v, v
		}
	}
}

// fill writes a long stretch.
func (p *player) fill() {
	if len(p.model) == 0 {
		return
	}
	start := p.rng.IntN(len(p.model))
	end := start + p.rng.IntN(len(p.model)-start)
	v := bytes.Repeat([]byte{byte(p.rng.IntN(3))}, end-start)
	copy(p.model[start:end], v)
	copy(p.runtime.bytes[start:end], v)
}

// read makes pages present without making them private.
func (p *player) read() {
	for range 8 {
		if len(p.model) == 0 {
			return
		}
		if i := p.rng.IntN(len(p.model)); p.model[i] != p.runtime.bytes[i] {
			p.t.Fatalf("byte %d is %#x, want %#x", i, p.runtime.bytes[i], p.model[i])
		}
	}
}

// grow sometimes asks for more than the limit.
func (p *player) grow() {
	delta := p.rng.IntN(4)
	before, ok := p.runtime.Grow(uint32(delta))
	want := len(p.model) + delta*WasmPage
	if ok != (want <= p.limit) {
		p.t.Fatalf("growing from %d to %d bytes with a limit of %d: %t", len(p.model), want, p.limit, ok)
	}
	if !ok {
		if p.m.Refused() < uint64(want) {
			p.t.Fatalf("refused %d bytes, says %d", want, p.m.Refused())
		}
		return
	}
	if int(before) != len(p.model)/WasmPage {
		p.t.Fatalf("grew from %d pages, says %d", len(p.model)/WasmPage, before)
	}
	p.model = append(p.model, make([]byte, delta*WasmPage)...)
	if p.m.Size() != uint64(want) || p.m.Peak() < uint64(want) {
		p.t.Fatalf("grew to %d bytes, says %d, peak %d", want, p.m.Size(), p.m.Peak())
	}
}

// TestRandomCallsLeaveNothing plays against the model with every method of
// restoring.
func TestRandomCallsLeaveNothing(t *testing.T) {
	for _, method := range methods(t) {
		for _, c := range []struct {
			pages int // of the image
			Config
			paths []Path // that must have been taken
		}{
			{pages: 3, Config: Config{Method: method}, paths: []Path{PathHot, PathScan}},
			{pages: 2, Config: Config{Method: method, Keep: 64 << 10}, paths: []Path{PathHot, PathScan, PathDrop}},
			{pages: 2, Config: Config{Method: method, Relearn: 3}, paths: []Path{PathHot, PathScan, PathDrop}},
			{pages: 1, Config: Config{Method: method, Keep: -1, Relearn: -1}, paths: []Path{PathHot, PathDrop}},
			{pages: 0, Config: Config{Method: method}, paths: []Path{PathHot, PathScan}},
		} {
			t.Run(fmt.Sprintf("%s/pages=%d,keep=%d,relearn=%d", method, c.pages, c.Keep, c.Relearn), func(t *testing.T) {
				t.Parallel()
				mem := snapshot(rand.New(rand.NewPCG(7, uint64(c.pages))), c.pages)
				image := newImage(t, mem, c.Config)
				if image.Method() != method {
					t.Fatalf("method %s", image.Method())
				}
				p := newPlayer(t, image, mem, uint64(c.pages+5)*WasmPage, rand.Uint64())
				for range rounds(1500) {
					p.round()
				}
				t.Logf("hot %d, scan %d, copy %d, drop %d", p.paths[PathHot], p.paths[PathScan], p.paths[PathCopy], p.paths[PathDrop])
				want := c.paths
				switch method {
				case MethodCompare, MethodPlain:
					want = []Path{PathCopy}
				case MethodDrop:
					want = []Path{PathDrop}
				}
				for _, path := range want {
					if p.paths[path] == 0 {
						t.Errorf("never took path %s", path)
					}
				}
			})
		}
	}
}

// TestMemoriesOfOneImageDoNotMeet plays with several memories at the same time.
func TestMemoriesOfOneImageDoNotMeet(t *testing.T) {
	mem := snapshot(rand.New(rand.NewPCG(3, 3)), 2)
	image := newImage(t, mem, Config{Keep: 256 << 10})
	var wg sync.WaitGroup
	for n := range 6 {
		p := newPlayer(t, image, mem, 6*WasmPage, uint64(n))
		wg.Go(func() {
			for range rounds(1000) {
				if t.Failed() {
					return
				}
				p.round()
			}
		})
	}
	wg.Wait()
}

// TestUnmarkedWriteIsMissed shows that these tests would notice a page that is
// not restored, and why all writes must be in a window.
func TestUnmarkedWriteIsMissed(t *testing.T) {
	image := newImage(t, make([]byte, WasmPage), Config{})
	if image.Method() != MethodHotSet {
		t.Skip("no hot set here")
	}
	m := newMemory(t, image, WasmPage)
	r := run(m, WasmPage)
	restore(t, m, r)
	r.bytes[100] = 1
	if cost := restore(t, m, r); cost.Path != PathHot || r.bytes[100] != 1 {
		t.Fatalf("restored by %s to %d", cost.Path, r.bytes[100])
	}
	m.markDirty()
	if cost := restore(t, m, r); cost.Path != PathScan || r.bytes[100] != 0 {
		t.Fatalf("restored by %s to %d", cost.Path, r.bytes[100])
	}
}
