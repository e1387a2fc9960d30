package sandbox_test

import (
	"bytes"
	"testing"
	"time"

	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// BenchmarkPaths measures the three paths that no change of this package may
// make longer: a call that does nothing, a call of a host function, and a slice
// of fuel.
func BenchmarkPaths(b *testing.B) {
	const hostCalls, loops = 10_000, 20_000_000
	// repeat runs code a number of times; local 0 counts.
	repeat := func(n int32, code ...[]byte) []byte {
		return w.Cat(w.Ops(0x03, 0x40), w.Cat(code...),
			w.Ops(0x20, 0), w.I32(1), w.Ops(0x6a), w.Ops(0x22, 0), w.I32(n), w.Ops(0x49), w.Ops(0x0d, 0), w.Ops(0x0b))
	}
	calls := w.New()
	size := calls.Import("ruedo", "input_size", ">I")
	calls.Memory(1, -1)
	calls.AsFunction(calls.FuncLocals(">i", []byte{1, 1, 0x7f}, repeat(hostCalls, w.Call(size), w.Drop()), w.I32(0)))
	computes := w.New()
	computes.Memory(1, -1)
	computes.AsFunction(computes.FuncLocals(">i", []byte{1, 1, 0x7f}, repeat(loops), w.I32(0)))
	for _, c := range []struct {
		name string
		wasm []byte
		unit string
		n    float64
	}{
		{"call", w.Function(w.I32(0)).Bytes(), "", 0},
		{"host", calls.Bytes(), "ns/hostcall", hostCalls},
		{"fuel", computes.Bytes(), "ns/loop", loops},
	} {
		b.Run(c.name, func(b *testing.B) {
			tpl := loadIn(b, newEngine(b, sandbox.Config{}), sandbox.Spec{Wasm: c.wasm, Limits: sandbox.Limits{Timeout: time.Minute}})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tpl.Call(b.Context(), sandbox.Request{ID: "id"}); err != nil {
					b.Fatal(err)
				}
			}
			if c.unit != "" {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/c.n, c.unit)
			}
		})
	}
}

// BenchmarkExchange measures calls of kind http: whole, and with both bodies
// streaming.
func BenchmarkExchange(b *testing.B) {
	tpl := load(b, sandbox.Spec{Wasm: guest(b, "http"), Examples: []sandbox.Example{
		{Head: get("/whole").Head, Input: []byte("hello")}, {Head: get("/flush/wait").Head}, {Head: get("/echo").Head, Input: []byte("hello")},
	}})
	for _, c := range []struct {
		name, path string
		body       int
	}{{"whole", "/whole", 0}, {"both", "/echo", 10_000}, {"large", "/echo", 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			body := make([]byte, c.body)
			b.ReportAllocs()
			b.SetBytes(int64(c.body))
			for b.Loop() {
				req := get(c.path)
				if req.Responder = stream.Discard; c.body > 0 {
					req.Body = bytes.NewReader(body)
				}
				if res, err := tpl.Call(b.Context(), req); err != nil {
					b.Fatalf("%v\n%s", err, res.Logs)
				}
			}
		})
	}
}
