//go:build hostile

package hostile

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// specimen is a module that must be refused, and the reason.
type specimen struct {
	row  int
	name string
	wasm []byte
	want expect
}

// guest returns a good function guest, modified by f before it is assembled.
func guest(f func(m *w.Module)) []byte {
	m := w.Function(w.I32(0))
	f(m)
	return m.Bytes()
}

// body returns a whole module whose only fault is one function.
func body(locals []byte, code ...[]byte) []byte {
	return guest(func(m *w.Module) { m.FuncLocals(">", locals, code...) })
}

// group is a group of n locals of type i32.
func group(n uint32) []byte { return w.Cat(w.U32(n), []byte{0x7f}) }

// bare39 is a module with a single function that declares n locals, in 39
// bytes.
func bare39(n uint32) []byte {
	code := w.Sized(w.Cat(w.Vec(group(n)), opEnd))
	b := w.Cat(w.Header(), w.Section(1, w.Vec([]byte{0x60, 0, 0})), w.Section(3, w.Vec(w.U32(0))), w.Section(10, w.Vec(code)))
	return w.Cat(b, w.Custom(string(bytes.Repeat([]byte("x"), 39-len(b)-3)), nil))
}

// loops is the code of n consecutive loops. Each increments one of m locals, so
// that all of them are live in each loop.
func loops(n, m uint32) []byte {
	var code [][]byte
	for i := range n {
		code = append(code, w.Ops(0x03, 0x40), localGet(i%m), w.I32(1), opI32Add, w.Ops(0x22), w.U32(i%m), w.Ops(0x0d, 0), opEnd)
	}
	return w.Cat(code...)
}

// nest is the code of n nested loops, each with a branch to the outermost.
func nest(n, m uint32) []byte {
	code := [][]byte{bytes.Repeat([]byte{0x03, 0x40}, int(n))}
	for i := range n {
		code = append(code, localGet(i%m), w.Ops(0x0d), w.U32(n-1-i), opEnd)
	}
	return w.Cat(code...)
}

// specimens are the modules of rows 1 to 11 and 23.
func specimens() []specimen {
	limit := func(r fault.Reason, text ...string) expect {
		return expect{reason: r, text: append(text, "the limit is")}
	}
	malformed := expect{reason: fault.Malformed, text: []string{"at byte "}}
	notOne := func(looksLike string) expect {
		return expect{reason: fault.NotAModule, text: []string{"looks like " + looksLike}}
	}
	component := expect{reason: fault.Component, text: []string{"only core modules"}}
	whole := guest(func(m *w.Module) { m.Data(0, []byte("data")) })
	zeros := make([]byte, 1_000_000)
	nested := bytes.Repeat([]byte{0x02, 0x40}, 100_000)
	list := []specimen{
		{1, "39 bytes", bare39(1e9), limit(fault.WasmLimitLocals, "1000000000", "10000")},
		{1, "in a good module", body(w.Vec(group(1e9))), limit(fault.WasmLimitLocals, "1000000000", "10000")},
		{2, "4,294,967,295 locals", body(w.Vec(group(math.MaxUint32))), limit(fault.WasmLimitLocals, "4294967295")},
		{2, "a sum that overflows", body(w.Vec(group(math.MaxUint32), group(2))), limit(fault.WasmLimitLocals)},
		{2, "a sum that overflows to 0", body(w.Vec(group(1<<31), group(1<<31))), limit(fault.WasmLimitLocals)},
		{2, "10,001 groups of one", body(w.Vec(slices.Repeat([][]byte{group(1)}, 10_001)...)), limit(fault.WasmLimitLocals, "10001")},
		{3, "100,000 blocks", body([]byte{0}, nested, bytes.Repeat(opEnd, 100_000)), limit(fault.WasmLimitNesting)},
		{3, "100,000 loops", body([]byte{0}, bytes.ReplaceAll(nested, []byte{2}, []byte{3}), bytes.Repeat(opEnd, 100_000)), limit(fault.WasmLimitNesting)},
		{3, "100,000 ifs that never end", body([]byte{0}, bytes.Repeat([]byte{0x41, 0, 0x04, 0x40}, 100_000)), limit(fault.WasmLimitNesting)},
		{4, "a million targets", body([]byte{0}, w.I32(0), w.Ops(0x0e), w.U32(1_000_000), zeros, w.Ops(0)), limit(fault.WasmLimitBrTable, "1000000")},
		{4, "4e9 targets by its word", body([]byte{0}, w.I32(0), w.Ops(0x0e), w.U32(4e9), w.Ops(0)), limit(fault.WasmLimitBrTable, "4000000000")},
		{5, "2,000 loops x 2,000 locals", body(locals(2000), loops(2000, 2000)), limit(fault.WasmLimitComplexity, "most of it in function 2 with")},
		{5, "2,000 loops within each other", body(locals(2000), nest(2000, 2000)), limit(fault.WasmLimitComplexity, "most of it in function 2 with")},
		{5, "20 such functions", guest(func(m *w.Module) {
			for range 20 {
				m.FuncLocals(">", locals(700), loops(700, 700))
			}
		}), limit(fault.WasmLimitComplexity, "most of it in function 2 with")},
		{6, "a million functions", w.Cat(w.Header(), w.Section(1, w.Vec([]byte{0x60, 0, 0})), w.Section(3, w.Cat(w.U32(1_000_000), zeros)),
			w.Section(10, w.Cat(w.U32(1_000_000), bytes.Repeat([]byte{2, 0, 0x0b}, 1_000_000)))), limit(fault.WasmLimitFunctions, "1000000", "100000")},
		{7, "a table of 2^27", guest(func(m *w.Module) { m.Table(1 << 27) }), limit(fault.WasmLimitTable, "134217728")},
		{7, "16 tables of a million", guest(func(m *w.Module) {
			for range 16 {
				m.Table(1_000_000)
			}
		}), limit(fault.WasmLimitTable)},
		{9, "half a header", []byte("\x00asm\x01"), malformed},
		{9, "a section past the end", w.Cat(w.Header(), []byte{1}, w.U32(1<<20), []byte{1}), malformed},
		{9, "4e9 types", w.Cat(w.Header(), w.Section(1, w.U32(4e9))), malformed},
		{9, "4e9 exports", w.Cat(w.Header(), w.Section(7, w.U32(4e9))), malformed},
		{9, "4e9 parameters", w.Cat(w.Header(), w.Section(1, w.Cat([]byte{1, 0x60}, w.U32(4e9)))), malformed},
		{9, "a name of 4e9 bytes", w.Cat(w.Header(), w.Section(0, w.U32(4e9))), malformed},
		{9, "a count that does not end", w.Cat(w.Header(), w.Section(1, bytes.Repeat([]byte{0xff}, 20))), malformed},
		{9, "sections in no order", w.Cat(whole, w.Section(1, w.Vec([]byte{0x60, 0, 0}))), malformed},
		{10, "a component", []byte("\x00asm\x0d\x00\x01\x00"), component},
		{10, "a core module of version 2", []byte("\x00asm\x02\x00\x00\x00"), component},
		{11, "gzip", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), notOne("gzip")},
		{11, "zstd", zstdBomb(), notOne("zstd")},
		{11, "ELF", []byte("\x7fELF\x02\x01\x01"), notOne("ELF")},
		{11, "HTML", []byte("<!doctype html><title>404</title>"), notOne("HTML")},
		{11, "nothing", nil, notOne("an empty file")},
		{23, "env.system", w.FunctionWith([]string{"env.system:i>i"}, w.I32(0)).Bytes(),
			expect{reason: fault.ImportNotAllowed, text: []string{"env.system"}}},
		{23, "the name of another service", w.FunctionWith([]string{victimName + ".ruedo_call:>i"}, w.I32(0)).Bytes(),
			expect{reason: fault.ImportNotAllowed, text: []string{victimName + ".ruedo_call"}}},
		{23, "what the host uses itself", w.FunctionWith([]string{"ruedo.refuel:>"}, w.I32(0)).Bytes(),
			expect{reason: fault.ImportNotAllowed, text: []string{"ruedo.refuel"}}},
		{23, "a name that would steer a terminal", w.FunctionWith([]string{"env.\x1b[2J\u202e\r\n:>"}, w.I32(0)).Bytes(),
			expect{reason: fault.ImportNotAllowed, text: []string{`\x1b[2J`}}},
	}
	for n := 8; n < len(whole); n += 3 {
		want := malformed
		if n == 8 {
			want = expect{reason: fault.ExportsMissing} // a whole, empty module
		}
		if s := (specimen{9, fmt.Sprintf("cut off after %d bytes", n), whole[:n], want}); !atSection(whole, n) {
			list = append(list, s)
		}
	}
	return list
}

// atSection reports whether a section begins at n, so that what precedes it is
// a whole module, too.
func atSection(wasm []byte, n int) bool {
	for at := 8; at < len(wasm); at += 2 + int(wasm[at+1]) {
		if at == n {
			return n > 8
		}
	}
	return false
}

// refusals returns the moves that publish the specimens of a row.
func refusals(number int) []move {
	var moves []move
	for _, s := range specimens() {
		if s.row != number {
			continue
		}
		moves = append(moves, move{s.name, func(b *bout) {
			// Not made unique: refused modules are not stored.
			began := time.Now()
			b.refused(s.wasm, s.want)
			b.bounded("the answer", time.Since(began), 500*time.Millisecond)
		}})
	}
	return moves
}

// moduleRows are the rows about modules that are refused.
func moduleRows() []*row {
	const mb = 1 << 20
	return append(complexityRows(), []*row{
		{number: 1, name: "a billion locals in 39 bytes", moves: refusals(1), peakCore: 32 * mb},
		{number: 2, name: "4,294,967,295 locals; sums that overflow", moves: refusals(2), peakCore: 32 * mb},
		{number: 3, name: "100,000 nested blocks", moves: refusals(3), peakCore: 48 * mb},
		{number: 4, name: "br_table with a million targets", moves: refusals(4), peakCore: 64 * mb},
		{number: 6, name: "a million functions", moves: refusals(6), peakCore: 96 * mb},
		tableRow(),
		memoryRow(),
		{number: 9, name: "cut off, sizes and counts that lie", moves: refusals(9), peakCore: 32 * mb},
		{number: 10, name: "component, core version 2", moves: append(refusals(10), move{"the fix", func(b *bout) {
			err := b.publish(b.ctx, b.service(), []byte("\x00asm\x0d\x00\x01\x00"), nil)
			if fix := faultrpc.FromError(err).Fix; !bytes.Contains([]byte(fix), []byte("wasip1")) {
				b.Errorf("the fix does not say how to build for wasip1: %s", fix)
			}
		}}), peakCore: 32 * mb},
		{number: 11, name: "gzip, zstd, ELF, HTML, nothing", moves: refusals(11), peakCore: 32 * mb},
		{number: 23, name: "imports that are not allowed", moves: append(refusals(23), move{"the fix", func(b *bout) {
			err := b.publish(b.ctx, b.service(), w.FunctionWith([]string{"env.system:i>i"}, w.I32(0)).Bytes(), nil)
			// The list of what is allowed is long: the CLI shows it with -v.
			if fix := faultrpc.FromError(err).Fix; !bytes.Contains([]byte(fix), []byte("WASI")) {
				b.Errorf("the fix does not say what to build for: %s", fix)
			}
		}}), peakCore: 32 * mb},
	}...)
}
