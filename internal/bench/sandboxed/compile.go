package sandboxed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/internal/bench/contest"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// CompilerRole is the -role of the process that compiles modules.
const CompilerRole = "compiler"

// compile: what does the guarded compiler cost, and what does the cache on disk
// save? The Go guest is compiled in a child, found in the cache by a second
// start, and compiled in this process. Processor time includes the child's.
func (b *bench) compile() error {
	wasm, _, err := b.goGuest("function")
	if err != nil {
		return err
	}
	rewritten, err := instrument.Rewrite(wasm, instrument.Options{Meter: true})
	if err != nil {
		return err
	}
	child, err := sandbox.CompilerCommand("-role", CompilerRole)
	if err != nil {
		return err
	}
	cpu, clock := contest.Times{}, contest.Times{}
	for round := range b.Rounds {
		dir := filepath.Join(b.dir, fmt.Sprintf("cache-%d", round))
		for _, way := range []struct {
			name   string
			config compile.Config
		}{
			{"first", compile.Config{Command: child, Dir: dir}},
			{"second", compile.Config{Command: child, Dir: dir}},
			{"in-process", compile.Config{}},
		} {
			way.config.Runtime = sandbox.RuntimeConfig
			used, took, err := compileOnce(b.ctx, way.config, rewritten.Wasm)
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			cpu[way.name] = append(cpu[way.name], micro(used))
			clock[way.name] = append(clock[way.name], micro(took))
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	for _, name := range []string{"first", "second", "in-process"} {
		for _, of := range []struct {
			what string
			t    contest.Times
		}{{"cpu", cpu}, {"clock", clock}} {
			b.row("compile/"+name+"/"+of.what, table.Median(of.t[name])/1000, "ms", "compile/first/"+of.what,
				table.Median(table.Ratios(of.t[name], of.t["first"])))
		}
	}
	return nil
}

// compileOnce starts a program that needs one module.
func compileOnce(ctx context.Context, config compile.Config, wasm []byte) (used, took time.Duration, err error) {
	usedNow := func() time.Duration { return contest.CPU() + contest.ChildrenCPU() }
	before, began := usedNow(), time.Now()
	c, err := compile.New(config)
	if err != nil {
		return 0, 0, err
	}
	r := wazero.NewRuntimeWithConfig(ctx, c.RuntimeConfig())
	_, _, err = c.Compile(ctx, r, wasm, compile.Usual)
	used, took = usedNow()-before, time.Since(began)
	done := context.WithoutCancel(ctx)
	return used, took, errors.Join(err, r.Close(done), c.Close(done))
}
