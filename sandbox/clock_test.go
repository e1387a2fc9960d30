package sandbox_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall"
)

// TestClocks reads both clocks a thousand times in one call: they are coarse,
// and they advance.
func TestClocks(t *testing.T) {
	const reads = 1000
	e := newEngine(t, cached())
	for id, name := range []string{"wall", "monotonic"} {
		m := w.New()
		now := m.Import(wasi, "clock_time_get", "iIi>i")
		res := m.Import(wasi, "clock_res_get", "ii>i")
		write := m.Import("ruedo", "output_write", "ii>i")
		m.Memory(1, -1)
		m.AsFunction(m.FuncLocals(">i", w.Vec(w.Cat(w.U32(1), w.Ops(0x7f))),
			w.CallWith(res, int32(id), 0), w.Drop(),
			w.Ops(0x03, 0x40), w.Ops(0x20, 0), w.I32(8), w.Ops(0x6a, 0x21, 0),
			w.I32(int32(id)), w.I64(1), w.Ops(0x20, 0), w.Call(now), w.Drop(),
			w.Ops(0x20, 0), w.I32(8*reads), w.Ops(0x49, 0x0d, 0, 0x0b),
			w.CallWith(write, 0, 8*(reads+1)), w.Drop(), w.I32(0)))
		tpl := loadIn(t, e, sandbox.Spec{Wasm: m.Bytes(), Limits: sandbox.Limits{Timeout: 10 * time.Second}})
		last := uint64(0)
		for range 3 {
			before := time.Now()
			res, err := tpl.Call(t.Context(), sandbox.Request{})
			if err != nil {
				t.Fatal(err)
			}
			var read []uint64
			for b := range slices.Chunk(res.Output, 8) {
				read = append(read, binary.LittleEndian.Uint64(b))
			}
			if read[0] != uint64(hostcall.Tick) {
				t.Errorf("%s: a resolution of %d ns", name, read[0])
			}
			for _, v := range read[1:] {
				if v%uint64(hostcall.Tick) != 0 || v < last {
					t.Fatalf("%s: %d ns after %d", name, v, last)
				}
				last = v
			}
			if at := time.Unix(0, int64(last)); name == "wall" && (at.Before(before.Add(-hostcall.Tick)) || at.After(time.Now())) {
				t.Errorf("the wall clock says %s", at)
			}
			// The engine is less than an hour old.
			if name == "monotonic" && last > uint64(time.Hour) {
				t.Errorf("the monotonic clock tells the age of something else: %d", last)
			}
		}
	}
}

// processorClocks reads clock 2, computes, and reads it again; then the same with
// clock 3. Its output is what it read.
func processorClocks() []byte {
	m := w.New()
	now := m.Import(wasi, "clock_time_get", "iIi>i")
	write := m.Import("ruedo", "output_write", "ii>i")
	m.Memory(1, -1)
	read := func(id, at int32) []byte { return w.Cat(w.I32(id), w.I64(1), w.I32(at), w.Call(now), w.Drop()) }
	// Count a local down from some millions.
	compute := w.Cat(w.I32(20_000_000), w.Ops(0x21, 0, 0x03, 0x40, 0x20, 0), w.I32(1), w.Ops(0x6b, 0x22, 0, 0x0d, 0, 0x0b))
	m.AsFunction(m.FuncLocals(">i", w.Vec(w.Cat(w.U32(1), w.Ops(0x7f))),
		read(2, 0), compute, read(2, 8), read(3, 16), compute, read(3, 24),
		w.CallWith(write, 0, 32), w.Drop(), w.I32(0)))
	return m.Bytes()
}
