//go:build hostile

package hostile

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/publish"
	"github.com/ruedo-dev/ruedo/internal/fault"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

const maxModule = 32 << 20

// TestAdmissionIsQuickAndSmall judges every specimen as the core does, without
// the wire: in less than 10 ms and with little memory, whatever it claims.
func TestAdmissionIsQuickAndSmall(t *testing.T) {
	list := specimens()
	for name, wasm := range fullSize() {
		list = append(list, specimen{name: "32 MiB: " + name, wasm: wasm})
	}
	for _, s := range list {
		t.Run(fmt.Sprintf("%02d %s", s.row, s.name), func(t *testing.T) {
			digest := client.Digest(s.wasm)
			var err error
			// The quickest of some: what it takes, without what else the machine does.
			quickest, least := time.Hour, uint64(1<<62)
			for range 5 {
				runtime.GC()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				began := time.Now()
				_, err = publish.Admit(digest, s.wasm, maxModule)
				quickest = min(quickest, time.Since(began))
				runtime.ReadMemStats(&after)
				least = min(least, after.TotalAlloc-before.TotalAlloc)
			}
			if s.want.reason != "" && fault.ReasonOf(err) != s.want.reason {
				t.Errorf("got %s, want %s: %v", fault.ReasonOf(err), s.want.reason, err)
			}
			t.Logf("%d bytes: %s in %s, %d bytes allocated", len(s.wasm), answer(err), ms(quickest), least)
			if quickest > 10*time.Millisecond {
				t.Errorf("it took %s, 10 ms is the most", ms(quickest))
			}
			if most := uint64(1<<20 + 4*len(s.wasm)); least > most {
				t.Errorf("it allocated %d bytes for a module of %d", least, len(s.wasm))
			}
			if s.row == 1 && least > 1<<20 {
				t.Errorf("it allocated %d bytes, 1 MiB is the most", least)
			}
		})
	}
}

// fullSize are modules as large as they may be, of what takes longest to read.
func fullSize() map[string][]byte {
	const size = maxModule - 1<<20
	fill := func(body []byte, n int) []byte {
		return guest(func(m *w.Module) {
			for range n {
				m.Func(">", body)
			}
		})
	}
	return map[string][]byte{
		"code":             fill(bytes.Repeat(w.Cat(w.I32(1), w.Drop()), (1<<20-64)/3), size>>20),
		"no-ops":           fill(bytes.Repeat(w.Ops(0x01), 1<<20-64), size>>20),
		"data":             guest(func(m *w.Module) { m.Data(0, make([]byte, size)) }),
		"a custom section": w.Cat(guest(func(*w.Module) {}), w.Custom("x", make([]byte, size))),
		"tiny segments": guest(func(m *w.Module) {
			for range 100_000 {
				m.Data(0, make([]byte, 300))
			}
		}),
	}
}
