package sandboxed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/bench/contest"
	"github.com/ruedo-dev/ruedo/internal/bench/guests"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// works are the loads of the guests c/work and work, and how much of each:
// about 10 ms natively.
var works = []struct {
	guest, name string
	n           uint64
}{
	{"c", "count", 20_000_000}, {"c", "fib", 29}, {"c", "queens", 11}, {"c", "matmul", 160}, {"c", "sieve", 2_000_000},
	{"c", "crc", 600_000}, {"c", "order", 60_000}, {"c", "chase", 2_000_000}, {"c", "text", 20_000}, {"c", "bulk", 1_000},
	{"go", "encode", 20}, {"go", "hash", 100}, {"go", "order", 60_000},
}

// The ways to run a module.
const (
	native  = "native"  // unmodified wazero: nothing can stop the guest
	metered = "metered" // rewritten by package instrument
	closing = "closing" // WithCloseOnContextDone
)

// placements is how often the modules of the loads are made again. By chance,
// the place of their code and memory affects a load's time by up to half, and
// it does not change while they live.
const placements = 3

// meter: what does it cost a busy guest that it can be stopped?
func (b *bench) meter() error {
	wasm := map[string][]byte{}
	var all rewriting
	for _, guest := range []string{"c", "go"} {
		code, err := guests.Kept("c/work")
		if guest == "go" {
			code, _, err = b.goGuest("work")
		}
		if err != nil {
			return err
		}
		r, err := b.rewrite(code)
		if err != nil {
			return fmt.Errorf("%s: %w", guest, err)
		}
		b.rewritten("meter/"+guest, r)
		all.add(r)
		wasm[guest] = code
	}
	b.rewritten("meter/all", all)

	took := make([]contest.Times, len(works))
	for range placements {
		if err := b.place(wasm, took); err != nil {
			return err
		}
	}
	var overMetered, overClosing []float64
	for n, w := range works {
		prefix, t := "meter/"+w.guest+"."+w.name+"/", took[n]
		b.against(prefix, t, metered, native)
		b.against(prefix, t, closing, metered)
		overMetered = append(overMetered, table.Median(table.Ratios(t[metered], t[native])))
		overClosing = append(overClosing, table.Median(table.Ratios(t[closing], t[metered])))
	}
	b.row("meter/median", table.Median(overMetered), "times", native, table.Median(overMetered))
	b.row("meter/worst", slices.Max(overMetered), "times", native, slices.Max(overMetered))
	b.row("meter/closing-median", table.Median(overClosing), "times", metered, table.Median(overClosing))
	b.row("meter/closing-worst", slices.Max(overClosing), "times", metered, slices.Max(overClosing))
	return nil
}

// place makes the modules, runs all loads, and adds the times.
func (b *bench) place(wasm map[string][]byte, took []contest.Times) (err error) {
	var closers []func(context.Context) error
	defer func() {
		for _, c := range closers {
			err = errors.Join(err, c(context.WithoutCancel(b.ctx)))
		}
	}()
	modules := map[string]api.Module{}
	for guest, code := range wasm {
		for _, way := range []string{native, metered, closing} {
			m, closer, err := work(b.ctx, way, code)
			if closer != nil {
				closers = append(closers, closer)
			}
			if err != nil {
				return fmt.Errorf("%s %s: %w", guest, way, err)
			}
			modules[guest+way] = m
		}
	}
	ctx, stop := context.WithCancel(b.ctx) // only a context that can end is watched
	defer stop()
	for n, w := range works {
		var contenders []contest.Contender
		var want []uint64
		for _, way := range []string{native, metered, closing} {
			f := modules[w.guest+way].ExportedFunction(w.name)
			contenders = append(contenders, contest.Contender{Name: way, Do: func(n int) error {
				for range n {
					got, err := f.Call(ctx, w.n)
					if err != nil {
						return err
					}
					if want == nil {
						want = got
					}
					if !slices.Equal(got, want) {
						return fmt.Errorf("the result is %d, natively %d", got, want)
					}
				}
				return nil
			}})
		}
		t, err := contest.Run(ctx, (b.Rounds+placements-1)/placements, b.Slice/20, contenders)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		if took[n] == nil {
			took[n] = contest.Times{}
		}
		for name, list := range t {
			took[n][name] = append(took[n][name], list...)
		}
	}
	return nil
}

// slice is how much fuel a metered guest gets at a time: what the sandbox gives
// a guest that computes.
const slice = 500_000

// work starts a module in one of the ways.
func work(ctx context.Context, way string, wasm []byte) (api.Module, func(context.Context) error, error) {
	config := wazero.NewRuntimeConfig().WithCloseOnContextDone(way == closing).WithDebugInfoEnabled(false)
	r := wazero.NewRuntimeWithConfig(ctx, config)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return nil, r.Close, err
	}
	start := func(m api.Module) error { return nil }
	if way == metered {
		rewritten, err := instrument.Rewrite(wasm, instrument.Options{Meter: true})
		if err != nil {
			return nil, r.Close, err
		}
		wasm = rewritten.Wasm
		if start, err = supply(ctx, r, rewritten); err != nil {
			return nil, r.Close, err
		}
	}
	m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, r.Close, err
	}
	if err := start(m); err != nil {
		return nil, r.Close, err
	}
	if f := m.ExportedFunction(abi.ExportInitialize); f != nil {
		_, err = f.Call(ctx)
	}
	return m, r.Close, err
}

// supply gives a metered module fuel whenever it asks, and lets others run, as
// the sandbox does with a guest that is alone. The returned function completes
// a new instance.
func supply(ctx context.Context, r wazero.Runtime, rewritten *instrument.Result) (start func(api.Module) error, err error) {
	var fuel api.MutableGlobal
	deadline, napped := time.Now().Add(time.Hour), time.Now()
	_, err = r.NewHostModuleBuilder(instrument.ImportModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {
		now := time.Now()
		if now.After(deadline) {
			panic("too late")
		}
		if now.Sub(napped) >= time.Millisecond {
			time.Sleep(10 * time.Microsecond)
			napped = now
		}
		fuel.Set(slice)
	}), nil, nil).Export(instrument.ImportRefuel).Instantiate(ctx)
	return func(m api.Module) error {
		for _, s := range rewritten.Segments {
			if !m.Memory().Write(s.Offset, s.Bytes) {
				return errors.New("a segment does not fit")
			}
		}
		var ok bool
		if fuel, ok = m.ExportedGlobal(rewritten.Fuel).(api.MutableGlobal); !ok {
			return errors.New("there is no fuel")
		}
		fuel.Set(slice)
		return nil
	}, err
}
