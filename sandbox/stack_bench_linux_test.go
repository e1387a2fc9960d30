//go:build amd64 || arm64

package sandbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/sandbox"
)

// BenchmarkStack shows the price of the limit of stack: for a shallow call, for one
// that dives to a quarter of the stack, for one that overflows it, and for a call
// whose instance is new.
func BenchmarkStack(b *testing.B) {
	wasm := diver(b)
	e := newEngine(b, cached())
	for _, mib := range []int64{8, 16, 32, 64} {
		spec := sandbox.Spec{Wasm: wasm, Limits: sandbox.Limits{Timeout: time.Minute, Stack: mib << 20}}
		tpl := loadIn(b, e, spec)
		spec.Isolation = sandbox.Fresh
		fresh := loadIn(b, e, spec)
		run := func(name string, tpl *sandbox.Template, n uint32, fails bool) {
			b.Run(fmt.Sprintf("%s/%dMiB", name, mib), func(b *testing.B) {
				for b.Loop() {
					if _, err := tpl.Call(b.Context(), depth(n)); (err != nil) != fails {
						b.Fatal(err)
					}
				}
			})
		}
		run("shallow", tpl, 1, false)
		run("quarter", tpl, uint32(mib<<20/4/100), false)
		run("overflow", tpl, 1<<30, true)
		run("fresh", fresh, 1, false)
	}
}
