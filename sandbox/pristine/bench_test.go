package pristine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// dirtied is how many pages each call of the benchmarks writes.
const dirtied = 8

// caller is an instance whose calls each write some pages.
type caller struct {
	m  *Memory
	r  *runtimeMemory
	at [dirtied]int
}

func newCaller(b *testing.B, image *Image) *caller {
	c := &caller{m: newMemory(b, image, 256<<20)}
	c.r = run(c.m, 0)
	for n := range c.at {
		c.at[n] = n*len(c.r.bytes)/dirtied + n*3*4096 // not all in one set of the caches
	}
	for range 4 {
		c.call()
		restore(b, c.m, c.r)
	}
	return c
}

func (c *caller) call() {
	c.m.Begin()
	for _, at := range c.at {
		c.r.bytes[at]++
	}
	c.m.End()
}

func (c *caller) calls(b *testing.B, n int) {
	for range n {
		c.call()
		restore(b, c.m, c.r)
	}
}

func benchImage(b *testing.B, megabytes int, method Method) *Image {
	return newImage(b, snapshot(rand.New(rand.NewPCG(1, 1)), megabytes<<20/WasmPage), Config{Method: method, Relearn: -1})
}

// loop runs f and reports the processor time as well.
func loop(b *testing.B, f func()) {
	before := cpuTime()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkRestore measures a call that writes 8 pages and its restore, by
// method and by size of the memory. For comparison it also copies the whole
// memory back.
func BenchmarkRestore(b *testing.B) {
	for _, megabytes := range []int{2, 8, 64} {
		for _, method := range methods(b) {
			if method == MethodPlain {
				continue // compares as MethodCompare does
			}
			b.Run(fmt.Sprintf("%s/%dMB", method, megabytes), func(b *testing.B) {
				c := newCaller(b, benchImage(b, megabytes, method))
				loop(b, func() {
					c.call()
					restore(b, c.m, c.r)
				})
			})
		}
		b.Run(fmt.Sprintf("scan/%dMB", megabytes), func(b *testing.B) {
			c := newCaller(b, benchImage(b, megabytes, MethodAuto))
			loop(b, func() {
				c.m.markDirty()
				c.call()
				restore(b, c.m, c.r)
			})
		})
		b.Run(fmt.Sprintf("memcpy/%dMB", megabytes), func(b *testing.B) {
			c := newCaller(b, benchImage(b, megabytes, MethodAuto))
			image := append([]byte(nil), c.r.bytes...)
			loop(b, func() {
				c.call()
				copy(c.r.bytes, image)
			})
		})
	}
}

// BenchmarkRatio compares 64 MB with 2 MB, in turns, by processor time.
func BenchmarkRatio(b *testing.B) {
	small, large := newCaller(b, benchImage(b, 2, MethodAuto)), newCaller(b, benchImage(b, 64, MethodAuto))
	var times [2]time.Duration
	for b.Loop() {
		for i, c := range []*caller{small, large} {
			before := cpuTime()
			c.calls(b, 200)
			times[i] += cpuTime() - before
		}
	}
	b.ReportMetric(float64(times[1])/float64(times[0]), "64MB/2MB")
}

// BenchmarkScaling measures how many more calls two goroutines make than one,
// in turns, by wall time and by processor time.
func BenchmarkScaling(b *testing.B) {
	for _, method := range methods(b) {
		if method == MethodPlain {
			continue
		}
		b.Run(method.String(), func(b *testing.B) {
			image := benchImage(b, 2, method)
			callers := []*caller{newCaller(b, image), newCaller(b, image)}
			var wall, cpu [2]time.Duration
			for b.Loop() {
				for n := range callers {
					before, began := cpuTime(), time.Now()
					var wg sync.WaitGroup
					for _, c := range callers[:n+1] {
						wg.Go(func() { c.calls(b, 500) })
					}
					wg.Wait()
					wall[n] += time.Since(began)
					cpu[n] += cpuTime() - before
				}
			}
			b.ReportMetric(2*float64(wall[0])/float64(wall[1]), "times")
			b.ReportMetric(4*float64(cpu[0])/float64(cpu[1]), "cpu-times")
		})
	}
}

// BenchmarkNew measures making an image and a memory.
func BenchmarkNew(b *testing.B) {
	mem := snapshot(rand.New(rand.NewPCG(1, 1)), 2<<20/WasmPage)
	b.Run("image", func(b *testing.B) {
		loop(b, func() {
			image, err := NewImage(mem, Config{})
			if err != nil {
				b.Fatal(err)
			}
			if err := image.Close(); err != nil {
				b.Fatal(err)
			}
		})
	})
	image := newImage(b, mem, Config{})
	b.Run("memory", func(b *testing.B) {
		loop(b, func() {
			m, err := image.NewMemory(256 << 20)
			if err != nil {
				b.Fatal(err)
			}
			if err := m.Close(); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// BenchmarkWindow measures noticing writes.
func BenchmarkWindow(b *testing.B) {
	m := newMemory(b, newImage(b, nil, Config{}), WasmPage)
	loop(b, func() {
		m.Begin()
		m.End()
	})
}

// BenchmarkClock measures the part of a restore that is spent on measuring it.
func BenchmarkClock(b *testing.B) {
	loop(b, func() { time.Since(time.Now()) })
}
