package sandboxed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/ruedo-dev/ruedo/internal/bench/contest"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox/pristine"
)

// dirtied is how many pages are written between two resets.
const dirtied = 8

// reset: does the size of the memory matter if each call writes 8 pages? The
// comparison copies the whole memory back.
func (b *bench) reset() (err error) {
	f := &field{ctx: b.ctx}
	defer func() { err = errors.Join(err, f.close()) }()
	sizes := []int{2, 8, 64}
	for _, megabytes := range sizes {
		if err := f.addReset(megabytes); err != nil {
			return err
		}
	}
	t, err := contest.Run(b.ctx, b.Rounds, b.Slice/5, f.contenders)
	if err != nil {
		return err
	}
	for _, megabytes := range sizes {
		b.against("reset/", t, fmt.Sprintf("%dMB", megabytes), "2MB")
	}
	for _, megabytes := range sizes {
		b.against("reset/", t, fmt.Sprintf("copy-%dMB", megabytes), fmt.Sprintf("%dMB", megabytes))
	}
	return nil
}

func (f *field) addReset(megabytes int) error {
	size := megabytes << 20
	snapshot := make([]byte, size)
	rng := rand.New(rand.NewPCG(1, uint64(megabytes)))
	for at := 0; at < size; at += 4096 {
		snapshot[at] = byte(rng.IntN(255) + 1) // no page is all zero
	}
	image, err := pristine.NewImage(snapshot, pristine.Config{Relearn: -1})
	if err != nil {
		return err
	}
	f.closers = append(f.closers, image.Close)
	memory, err := image.NewMemory(256 << 20)
	if err != nil {
		return err
	}
	f.closers = append([]func() error{memory.Close}, f.closers...)
	runtime := wazero.NewRuntime(f.ctx)
	f.closers = append([]func() error{func() error { return runtime.Close(context.WithoutCancel(f.ctx)) }}, f.closers...)
	wasm := w.New()
	wasm.Memory(int64(size/wasmPage), int64(pristine.Largest/wasmPage))
	module, err := runtime.InstantiateWithConfig(experimental.WithMemoryAllocator(f.ctx, memory), wasm.Bytes(), wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return err
	}
	var at [dirtied]int
	for n := range at {
		at[n] = n*size/dirtied + n*3*4096 // not all in one set of the caches
	}
	write := func() {
		memory.Begin()
		bytes := memory.Bytes()
		for _, at := range at {
			bytes[at]++
		}
		memory.End()
	}
	f.contenders = append(f.contenders,
		contest.Contender{Name: fmt.Sprintf("%dMB", megabytes), Do: func(n int) error {
			for range n {
				write()
				cost, err := memory.Restore(module.Memory())
				if err != nil {
					return err
				}
				if cost.Path == pristine.PathHot && cost.Pages != dirtied {
					return fmt.Errorf("%d pages were restored, %d written", cost.Pages, dirtied)
				}
			}
			return nil
		}},
		contest.Contender{Name: fmt.Sprintf("copy-%dMB", megabytes), Do: func(n int) error {
			into := make([]byte, size)
			for range n {
				copy(into, snapshot)
			}
			return nil
		}})
	return nil
}
