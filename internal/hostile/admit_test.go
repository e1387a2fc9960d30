//go:build hostile

package hostile

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/upload"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

const (
	maxModule = 32 << 20
	// quick is how long a step of an admission can take.
	quick = 10 * time.Millisecond
)

// TestAdmissionIsQuickAndSmall admits every specimen as the core does, but
// without the network: as its parts arrive. Every part and every verdict is quick,
// whatever the module claims, and the whole admission takes little memory.
func TestAdmissionIsQuickAndSmall(t *testing.T) {
	list := specimens()
	for name, wasm := range fullSize() {
		list = append(list, specimen{name: "32 MiB: " + name, wasm: wasm})
	}
	for _, s := range list {
		t.Run(fmt.Sprintf("%02d %s", s.row, s.name), func(t *testing.T) {
			digest := client.Digest(s.wasm)
			var err error
			// The fastest of several runs of each step, to exclude other load on the
			// machine: of 30 steps, one is always disturbed.
			var steps []time.Duration
			least := uint64(1 << 62)
			for i := 0; i < 5 || i < 25 && slices.Max(steps) > quick; i++ {
				runtime.GC()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				steps, err = admit(digest, s.wasm, steps)
				runtime.ReadMemStats(&after)
				least = min(least, after.TotalAlloc-before.TotalAlloc)
			}
			if s.want.reason != "" && fault.ReasonOf(err) != s.want.reason {
				t.Errorf("got %s, want %s: %v", fault.ReasonOf(err), s.want.reason, err)
			}
			verdict, slowest := steps[len(steps)-1], slices.Max(steps)
			t.Logf("%d bytes: %s, %s after the last byte, %s in the longest step, %d bytes allocated",
				len(s.wasm), answer(err), ms(verdict), ms(slowest), least)
			if slowest > quick {
				t.Errorf("a step took %s, %s is the most", ms(slowest), ms(quick))
			}
			if limit := uint64(1<<20 + 4*len(s.wasm)); least > limit {
				t.Errorf("it allocated %d bytes for a module of %d", least, len(s.wasm))
			}
			if s.row == 1 && least > 1<<20 {
				t.Errorf("it allocated %d bytes, 1 MiB is the most", least)
			}
		})
	}
}

// admit lets a module arrive in the parts that clients send, and times each
// step: every part but the last, and all the work that is left after the last.
// For each step it keeps the smaller of the previous time and this one.
func admit(digest string, wasm []byte, before []time.Duration) (steps []time.Duration, err error) {
	const part = 1 << 20
	admission := wasmbin.NewAdmission(wasm, wasmbin.Limits{Size: maxModule})
	defer admission.Close()
	step := func(do func()) {
		began := time.Now()
		do()
		took := time.Since(began)
		if i := len(steps); i < len(before) {
			took = min(took, before[i])
		}
		steps = append(steps, took)
	}
	for n := part; n < len(wasm); n += part {
		step(func() { admission.Advance(n) })
	}
	step(func() { _, err = upload.Admit(digest, admission) })
	return steps, err
}

// fullSize returns modules of the largest allowed size that take longest to
// read.
func fullSize() map[string][]byte {
	const size = maxModule - 1<<20
	fill := func(body []byte, n int) []byte {
		return guest(func(m *w.Module) {
			for range n {
				m.Func(">", body)
			}
		})
	}
	blocks := bytes.Repeat(w.Ops(0x02, 0x40, 0x0b), 340_000)
	many := bytes.Repeat(w.Ops(0x7f), 1000)
	return map[string][]byte{
		"code":     fill(bytes.Repeat(w.Cat(w.I32(1), w.Drop()), (1<<20-64)/3), size>>20),
		"no-ops":   fill(bytes.Repeat(w.Ops(0x01), 1<<20-64), size>>20),
		"switches": fill(bytes.Repeat(w.Cat(w.Ops(0x0e), w.U32(4000), make([]byte, 4001)), 250), size>>20),
		"vectors":  fill(bytes.Repeat(w.Ops(0xfd, 0x4e), 1<<19-64), size>>20),
		"blocks":   fill(bytes.Repeat(w.Ops(0x02, 0x40, 0x0b), 400_000/3), size/400_000),
		"groups of locals": guest(func(m *w.Module) {
			for range size >> 20 {
				m.FuncLocals(">", w.Cat(w.U32(500_000), bytes.Repeat(w.Ops(0, 0x7f), 500_000)))
			}
		}),
		"an early mistake": guest(func(m *w.Module) {
			m.Func(">", blocks, w.Ops(0xff))
			m.Data(0, make([]byte, size-1<<20))
		}),
		"a late mistake": guest(func(m *w.Module) {
			for range size>>20 - 1 {
				m.Func(">", bytes.Repeat(w.Ops(0x01), 1<<20-64))
			}
			m.Func(">", blocks, w.Ops(0xff))
		}),
		"data":             guest(func(m *w.Module) { m.Data(0, make([]byte, size)) }),
		"a custom section": w.Cat(guest(func(*w.Module) {}), w.Custom("x", make([]byte, size))),
		"tiny sections":    w.Cat(guest(func(*w.Module) {}), bytes.Repeat(w.Custom("", nil), size/3)),
		"a name":           w.Cat(guest(func(*w.Module) {}), w.Custom(strings.Repeat("é", size/2), nil)),
		"names of functions": w.Cat(body([]byte{0}, w.Ops(0xff)),
			w.Custom("name", w.Cat(w.Ops(1), w.Sized(w.Cat(w.U32(size/2), make([]byte, size)))))),
		"elements": w.Cat(w.Header(), w.Section(1, w.Vec([]byte{0x60, 0, 0})), w.Section(3, w.Vec([]byte{0})), w.Section(4, w.Vec([]byte{0x70, 0, 0})),
			w.Section(9, w.Cat(w.Ops(1, 0, 0x41, 0, 0x0b), w.U32(size), make([]byte, size)))),
		"constants": guest(func(m *w.Module) { m.GlobalRaw(w.Cat(w.Ops(0x7f, 0), bytes.Repeat(w.I32(0), size/2), opEnd)) }),
		"parameters": w.Cat(w.Header(), w.Section(1, w.Cat(w.U32(size/2005),
			bytes.Repeat(w.Cat(w.Ops(0x60), w.U32(1000), many, w.U32(1000), many), size/2005)))),
		"exports": guest(func(m *w.Module) {
			for i := range 9_900 {
				m.Export(fmt.Sprintf("%s%d", strings.Repeat("x", 3_000), i), 0)
			}
		}),
		"tiny segments": guest(func(m *w.Module) {
			for range 100_000 {
				m.Data(0, make([]byte, 300))
			}
		}),
	}
}
