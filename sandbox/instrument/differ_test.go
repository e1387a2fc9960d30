package instrument_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// trial is the result of running a program.
type trial struct {
	outcome string // of every call, followed by all state
	calls   int
	fuel    []int64 // burnt by each call that did not trap
}

// try runs a program: unmodified (res nil), or rewritten.
func try(t testing.TB, h *host, wasm []byte, res *instrument.Result) trial {
	t.Helper()
	ctx := t.Context()
	m, err := h.instantiate(ctx, wasm, res, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatalf("%v", err)
	}
	var out strings.Builder
	var r trial
	gas := m.ExportedGlobal("g0").(api.MutableGlobal)
	for i := 0; ; i++ {
		f := m.ExportedFunction(fmt.Sprintf("f%d", i))
		if f == nil {
			break
		}
		for _, args := range [][2]uint64{{0, 0}, {1, math.MaxUint64}, {77, 1 << 40}} {
			gas.Set(300)
			before := h.account(m)
			got, err := f.Call(ctx, args[0], args[1])
			r.calls++
			fmt.Fprintf(&out, "%d%v = %d %s\n", i, args, got, kind(err))
			if err == nil {
				r.fuel = append(r.fuel, h.account(m)-before)
			} else {
				r.fuel = append(r.fuel, -1)
			}
		}
	}
	mem, _ := m.Memory().Read(0, m.Memory().Size())
	fmt.Fprintf(&out, "memory of %d: %x; globals", len(mem), sha256.Sum256(mem))
	for _, g := range []string{"g0", "g1", "g2"} {
		fmt.Fprintf(&out, " %x", m.ExportedGlobal(g).Get())
	}
	r.outcome = out.String()
	if err := m.Close(ctx); err != nil {
		t.Error(err)
	}
	return r
}

// account returns the sum of what a module has burnt so far.
func (h *host) account(m api.Module) int64 {
	if m.ExportedGlobal(instrument.ExportFuel) == nil {
		return 0
	}
	h.settle(m)
	return h.used
}

// withEnv adds the functions that programs import.
func (h *host) withEnv(t testing.TB) *host {
	t.Helper()
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	_, err := h.NewHostModuleBuilder("env").NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
		stack[0] = uint64(uint32(stack[0]) + uint32(stack[1]))
	}), []api.ValueType{i32, i64}, []api.ValueType{i32}).Export("host").Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// compare runs a program unmodified, metered with two sizes of slices, and with
// every instruction counted. It returns what was charged and what it cost.
func compare(t *testing.T, wasm []byte) (calls int, charged, cost int64) {
	t.Helper()
	metered := rewrite(t, wasm, instrument.Options{Meter: true, MemoryMaxPages: 100, TableMax: 100})
	exact, err := instrument.Exact(wasm)
	if err != nil {
		t.Fatal(err)
	}
	plain := rewrite(t, wasm, instrument.Options{})
	want := try(t, newHost(t, 0).withEnv(t), wasm, nil)
	small := try(t, newHost(t, 40).withEnv(t), wasm, metered)
	large := try(t, newHost(t, 100_000).withEnv(t), wasm, metered)
	count := try(t, newHost(t, 0).withEnv(t), wasm, exact)
	for _, r := range []struct {
		name string
		trial
	}{{"metered", small}, {"metered with large slices", large}, {"counted", count}, {"not metered", try(t, newHost(t, 0).withEnv(t), wasm, plain)}} {
		if r.outcome != want.outcome {
			t.Errorf("%s:\n%s\nas it is:\n%s", r.name, r.outcome, want.outcome)
		}
	}
	for i, f := range small.fuel {
		if f < 0 {
			continue
		}
		if f != large.fuel[i] {
			t.Errorf("call %d: %d units with small slices, %d with large ones", i, f, large.fuel[i])
		}
		if f+instrument.LeafCost < count.fuel[i] {
			t.Errorf("call %d: charged %d, its cost is %d", i, f, count.fuel[i])
		}
		charged += f
		cost += count.fuel[i]
	}
	return want.calls, charged, cost
}

// TestPrograms compares random programs with their rewritten versions.
func TestPrograms(t *testing.T) {
	n := uint64(200 / share)
	if testing.Short() {
		n = 15
	}
	var calls int
	var charged, cost int64
	for seed := range n {
		k, f, c := compare(t, newProgram(seed))
		calls, charged, cost = calls+k, charged+f, cost+c
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d calls with the same outcome; charged %d units for %d (x%.2f)", calls, charged, cost, float64(charged)/float64(cost))
}

func FuzzPrograms(f *testing.F) {
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) { compare(t, newProgram(seed)) })
}
