package sandboxed

import (
	"context"
	"errors"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/internal/bench/contest"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// rewriting is the cost of rewriting a module, and its result.
type rewriting struct {
	bytes          float64    // of the module
	took           float64    // microseconds
	code, compiled [2]float64 // bytes of code and microseconds to compile it, before and after
}

func (r *rewriting) add(o rewriting) {
	r.bytes += o.bytes
	r.took += o.took
	for i := range 2 {
		r.code[i] += o.code[i]
		r.compiled[i] += o.compiled[i]
	}
}

func (b *bench) rewritten(prefix string, r rewriting) {
	b.row(prefix+"/rewrite", r.took/1000, "ms", "a megabyte", r.took/1000/(r.bytes/1e6))
	b.row(prefix+"/code", r.code[1]/1000, "kB", prefix+"/code before", r.code[1]/r.code[0])
	b.row(prefix+"/compile", r.compiled[1]/1000, "ms", prefix+"/compile before", r.compiled[1]/r.compiled[0])
}

// rewrite: what does it cost to rewrite a module, and to compile the result?
func (b *bench) rewrite(wasm []byte) (rewriting, error) {
	result, err := instrument.Rewrite(wasm, instrument.Options{Meter: true})
	if err != nil {
		return rewriting{}, err
	}
	out := rewriting{bytes: float64(len(wasm))}
	t, err := contest.Run(b.ctx, min(b.Rounds, 3), b.Slice/20, []contest.Contender{
		{Name: "rewrite", Do: func(n int) error {
			for range n {
				if _, err := instrument.Rewrite(wasm, instrument.Options{Meter: true}); err != nil {
					return err
				}
			}
			return nil
		}},
		{Name: "before", Do: func(n int) error { return compileTimes(b.ctx, n, wasm) }},
		{Name: "after", Do: func(n int) error { return compileTimes(b.ctx, n, result.Wasm) }},
	})
	if err != nil {
		return out, err
	}
	out.took = table.Median(t["rewrite"])
	for i, of := range []struct {
		name string
		wasm []byte
	}{{"before", wasm}, {"after", result.Wasm}} {
		out.compiled[i] = table.Median(t[of.name])
		if out.code[i], err = codeSize(of.wasm); err != nil {
			return out, err
		}
	}
	return out, nil
}

func compileTimes(ctx context.Context, n int, wasm []byte) error {
	for range n {
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithDebugInfoEnabled(false))
		_, err := r.CompileModule(ctx, wasm)
		if err := errors.Join(err, r.Close(context.WithoutCancel(ctx))); err != nil {
			return err
		}
	}
	return nil
}

// codeSize returns the size of the functions. The rest of a module cannot be
// compared, because data segments and debug information are removed.
func codeSize(wasm []byte) (float64, error) {
	m, err := wasmbin.Read(wasm)
	if err != nil {
		return 0, err
	}
	size := 0
	for _, s := range m.Sections {
		if s.ID == wasmbin.SectionCode {
			size += s.Size
		}
	}
	return float64(size), nil
}
