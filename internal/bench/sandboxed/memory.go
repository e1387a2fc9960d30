package sandboxed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// idlers is how many idle instances there are.
const idlers = 200

type memoryArg struct {
	Plain bool
	Wasm  string // its file
}

type memoryResult struct{ Bytes float64 } // of an instance, not shared with others

// memory: how much memory does an instance of the Go guest take that has served
// a call and waits for the next? Measured by /proc/self/smaps_rollup: what 200
// of them add to the private memory of the process.
func (b *bench) memory() error {
	_, path, err := b.goGuest("function")
	if err != nil {
		return err
	}
	names := []string{"plain", "pristine"}
	sizes := map[string][]float64{}
	for range min(b.Rounds, 3) {
		for _, name := range names {
			res, err := child[memoryResult](b.ctx, "memory", memoryArg{name == "plain", path})
			if err != nil {
				return err
			}
			sizes[name] = append(sizes[name], res.Bytes/1024)
		}
	}
	for _, name := range names {
		b.row("memory/"+name, table.Median(sizes[name]), "KiB", "memory/plain", table.Median(table.Ratios(sizes[name], sizes["plain"])))
	}
	return nil
}

func serveMemory(ctx context.Context, arg memoryArg) (memoryResult, error) {
	wasm, err := os.ReadFile(arg.Wasm)
	if err != nil {
		return memoryResult{}, err
	}
	if arg.Plain {
		return plainMemory(ctx, wasm)
	}
	return ruedoMemory(ctx, wasm)
}

func plainMemory(ctx context.Context, wasm []byte) (_ memoryResult, err error) {
	p, err := newPlain(ctx, wasm, false)
	if err != nil {
		return memoryResult{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	var kept []*instance
	more := func(n int) error {
		for range n {
			i, err := p.start(ctx)
			if err != nil {
				return err
			}
			if _, err := i.answer(ctx, []byte(input)); err != nil {
				return err
			}
			kept = append(kept, i)
		}
		return nil
	}
	res, err := grown(more)
	runtime.KeepAlive(kept)
	return res, err
}

func ruedoMemory(ctx context.Context, wasm []byte) (_ memoryResult, err error) {
	engine, err := sandbox.New(ctx, sandbox.Config{MaxIdle: 2 * idlers})
	if err != nil {
		return memoryResult{}, err
	}
	defer func() { err = errors.Join(err, engine.Close(context.WithoutCancel(ctx))) }()
	t, err := engine.Load(ctx, sandbox.Spec{Wasm: wasm, Example: []byte(input)})
	if err != nil {
		return memoryResult{}, err
	}
	// A new instance is made if all others are busy: asleep, in a call.
	asleep := []byte(`{"name":"Ada","wait":3000}`)
	have := 0
	return grown(func(n int) error {
		have += n
		cold := make([]bool, have)
		errs := make([]error, have)
		var wg sync.WaitGroup
		for i := range have {
			wg.Go(func() {
				var res sandbox.Result
				res, errs[i] = t.Call(ctx, sandbox.Request{Input: asleep})
				cold[i] = res.Cold
			})
		}
		wg.Wait()
		made := 0
		for _, c := range cold {
			if c {
				made++
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if made < n-1 { // loading left one behind
			return fmt.Errorf("%d instances were made instead of %d", made, n)
		}
		return nil
	})
}

// grown first makes some instances, for what all have in common, and then the
// others.
func grown(more func(n int) error) (memoryResult, error) {
	if err := more(10); err != nil {
		return memoryResult{}, err
	}
	before, err := private()
	if err != nil {
		return memoryResult{}, err
	}
	if err := more(idlers); err != nil {
		return memoryResult{}, err
	}
	after, err := private()
	return memoryResult{Bytes: float64(after-before) / idlers}, err
}

// private returns the private memory of this process in bytes, without garbage.
func private() (int64, error) {
	runtime.GC()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0, err
	}
	var sum int64
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasPrefix(f[0], "Private_") && f[0] != "Private_Hugetlb:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0, err
			}
			sum += n << 10
		}
	}
	return sum, nil
}
