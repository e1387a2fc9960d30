package instrument_test

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"golang.org/x/sys/unix"

	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// cpu returns the processor time that the thread has used. Other load on the
// machine affects it less than it affects wall time.
func cpu(tb testing.TB) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// BenchmarkRewrite measures the cost per megabyte.
func BenchmarkRewrite(b *testing.B) {
	wasm := goGuest(b, "work")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var ms []float64
	b.SetBytes(int64(len(wasm)))
	for b.Loop() {
		began := cpu(b)
		if _, err := instrument.Rewrite(wasm, metered); err != nil {
			b.Fatal(err)
		}
		ms = append(ms, (cpu(b)-began).Seconds()*1e3/(float64(len(wasm))/1e6))
	}
	b.ReportMetric(median(ms), "cpu-ms/MB")
}

// BenchmarkCompile compares the compiler's work and the size of the code.
func BenchmarkCompile(b *testing.B) {
	wasm := goGuest(b, "work")
	plain, res := rewrite(b, wasm, instrument.Options{}), rewrite(b, wasm, metered)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	compile := func(wasm []byte) float64 {
		h := newHost(b, 0)
		began := cpu(b)
		if _, err := h.CompileModule(b.Context(), wasm); err != nil {
			b.Fatal(err)
		}
		return float64(cpu(b) - began)
	}
	var ratios []float64
	for b.Loop() {
		ratios = append(ratios, compile(res.Wasm)/compile(wasm))
	}
	b.ReportMetric(median(ratios), "metered/native")
	b.ReportMetric(float64(len(res.Wasm))/float64(len(plain.Wasm)), "size/native")
}

// BenchmarkMetered compares loads unmodified, metered, and stoppable by the
// engine's own means, in turns.
func BenchmarkMetered(b *testing.B) {
	var all []float64
	group := func(name string, wasm []byte, loads []load) {
		res := rewrite(b, wasm, metered)
		native := newHost(b, 0).reactor(b, wasm, nil)
		ours := newHost(b, 500_000).reactor(b, wasm, res)
		closing := closeOnDone(b, wasm)
		for _, l := range loads {
			b.Run(name+"/"+l.name, func(b *testing.B) {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				run := func(m api.Module) float64 {
					f := m.ExportedFunction(l.name)
					began := cpu(b)
					if _, err := f.Call(b.Context(), l.often); err != nil {
						b.Fatal(err)
					}
					return float64(cpu(b) - began)
				}
				var ratios, closings []float64
				for _, m := range []api.Module{native, ours, closing} {
					run(m)
				}
				for i := 0; b.Loop(); i++ {
					base := run(native)
					ratios = append(ratios, run(ours)/base)
					if i < 3 { // it is slow
						closings = append(closings, run(closing)/base)
					}
				}
				all = append(all, median(ratios))
				b.ReportMetric(median(ratios), "metered/native")
				b.ReportMetric(median(closings), "close-on-done/native")
				b.ReportMetric(0, "ns/op") // of three different things
			})
		}
	}
	small, loads := handwritten()
	group("wasm", small, loads)
	group("go", goGuest(b, "work"), goLoads())
	b.Logf("median of %d loads x%.3f, worst x%.3f", len(all), median(all), slices.Max(all))
}

func closeOnDone(b *testing.B, wasm []byte) api.Module {
	ctx := b.Context()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features).WithCloseOnContextDone(true))
	h := &host{Runtime: r, meter: &meter{}}
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	m, err := h.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	return m
}
