package instrument_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// features are those that the reader supports.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst

// meter gives fuel to metered guests and keeps account of it.
type meter struct {
	slice   int64
	limit   int64 // of the sum; 0 means no limit
	refuels int
	given   map[api.Module]int64 // the most that can be in the tank
	used    int64
}

type stopped struct{ error }

// refuel is the host function.
func (mt *meter) refuel(_ context.Context, m api.Module, _ []uint64) {
	mt.refuels++
	g := m.ExportedGlobal(instrument.ExportFuel).(api.MutableGlobal)
	mt.settle(m)
	if mt.limit > 0 && mt.used > mt.limit {
		panic(stopped{fmt.Errorf("stopped after %d units", mt.used)})
	}
	g.Set(uint64(mt.slice))
	mt.given[m] = mt.slice
}

// settle adds what a module has burnt since it was last refuelled to the
// account.
func (mt *meter) settle(m api.Module) {
	g, ok := m.ExportedGlobal(instrument.ExportFuel).(api.MutableGlobal)
	if !ok {
		return
	}
	left := int64(g.Get())
	mt.used += mt.given[m] - left
	mt.given[m] = left
}

// host is a runtime with a meter.
type host struct {
	wazero.Runtime
	*meter
}

func newHost(t testing.TB, slice int64) *host {
	t.Helper()
	ctx := t.Context()
	h := &host{
		Runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features)),
		meter:   &meter{slice: slice, given: make(map[api.Module]int64)},
	}
	t.Cleanup(func() {
		if err := h.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	_, err := h.NewHostModuleBuilder(instrument.ImportModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(h.refuel), nil, nil).Export(instrument.ImportRefuel).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// instantiate starts a module, unmodified or rewritten, including its start
// function.
func (h *host) instantiate(ctx context.Context, wasm []byte, res *instrument.Result, cfg wazero.ModuleConfig) (api.Module, error) {
	if res == nil {
		return h.InstantiateWithConfig(ctx, wasm, cfg.WithStartFunctions())
	}
	m, err := h.InstantiateWithConfig(ctx, res.Wasm, cfg.WithStartFunctions())
	if err != nil {
		return nil, err
	}
	for _, s := range res.Segments {
		if !m.Memory().Write(s.Offset, s.Bytes) {
			return nil, fmt.Errorf("a segment of %d bytes at %d lies out of memory", len(s.Bytes), s.Offset)
		}
	}
	if res.Start != "" {
		if _, err := m.ExportedFunction(res.Start).Call(ctx); err != nil {
			return nil, fmt.Errorf("%w; %w", err, m.Close(ctx))
		}
	}
	return m, nil
}

// rewrite rewrites a module in a test.
func rewrite(t testing.TB, wasm []byte, o instrument.Options) *instrument.Result {
	t.Helper()
	res, err := instrument.Rewrite(wasm, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}
