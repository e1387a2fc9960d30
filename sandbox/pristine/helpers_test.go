package pristine

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"testing"
)

// runtimeMemory stands in for the runtime's side of a memory.
type runtimeMemory struct {
	m     *Memory
	bytes []byte
}

// run does to a memory what instantiating does.
func run(m *Memory, minimum uint64) *runtimeMemory {
	return &runtimeMemory{m: m, bytes: m.Allocate(minimum, Largest).Reallocate(minimum)}
}

func (r *runtimeMemory) Grow(delta uint32) (uint32, bool) {
	before := uint32(len(r.bytes) / WasmPage)
	b := r.m.Reallocate(uint64(before+delta) * WasmPage)
	if b == nil {
		return 0, false
	}
	r.bytes = b
	return before, true
}

// snapshot returns bytes in which some pages are zero and some are not.
func snapshot(rng *rand.Rand, wasmPages int) []byte {
	b := make([]byte, wasmPages*WasmPage)
	page := os.Getpagesize()
	for at := 0; at < len(b); at += page {
		if rng.IntN(3) > 0 {
			for i := 0; i < page; i += 1 + rng.IntN(64) {
				b[at+i] = byte(1 + rng.IntN(255))
			}
		}
	}
	return b
}

func newImage(t testing.TB, mem []byte, config Config) *Image {
	t.Helper()
	image, err := NewImage(mem, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := image.Close(); err != nil {
			t.Error(err)
		}
	})
	return image
}

func newMemory(t testing.TB, image *Image, limit uint64) *Memory {
	t.Helper()
	m, err := image.NewMemory(limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func restore(t testing.TB, m *Memory, g Grower) Cost {
	t.Helper()
	cost, err := m.Restore(g)
	if err != nil {
		t.Fatal(err)
	}
	return cost
}

// same fails at the first byte that differs.
func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d bytes, want %d", what, len(got), len(want))
	}
	if bytes.Equal(got, want) {
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: byte %d (page %d) is %#x, want %#x", what, i, i/os.Getpagesize(), got[i], want[i])
		}
	}
}

var soak = flag.Int("soak", 1, "how many times longer the random tests run")

// rounds returns how many restores a random test does: a short number, or -soak
// times as many.
func rounds(usual int) int {
	if testing.Short() {
		return usual / 10
	}
	return usual * *soak
}

// methods returns the methods that work on this system.
func methods(t testing.TB) []Method {
	var ms []Method
	for _, m := range []Method{MethodHotSet, MethodCompare, MethodDrop, MethodPlain} {
		if image, err := NewImage(nil, Config{Method: m}); err == nil {
			ms = append(ms, m)
			if err := image.Close(); err != nil {
				t.Error(err)
			}
		} else {
			t.Logf("method %s: %v", m, err)
		}
	}
	return ms
}

// markDirty makes the next Restore notice writes outside a window.
func (m *Memory) markDirty() { m.dirty = true }
