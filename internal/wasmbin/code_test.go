package wasmbin_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// around is a module with one of everything that an instruction can name, and
// one function (i32) -> () with a local of i64, whose body is code.
func around(code ...[]byte) []byte {
	void, table, memory := []byte{0x60, 1, 0x7f, 0}, []byte{0x70, 0, 4}, []byte{0, 1}
	body := w.Cat(w.Vec([]byte{1, 0x7e}), w.Cat(code...))
	names := w.Sized(w.Vec(w.Cat([]byte{1}, w.Str("main.run"))))
	return w.Cat(w.Header(),
		w.Section(1, w.Vec(void)),
		w.Section(2, w.Vec(w.Cat(w.Str("env"), w.Str("f"), []byte{0, 0}))),
		w.Section(3, w.Vec([]byte{0})),
		w.Section(4, w.Vec(table)),
		w.Section(5, w.Vec(memory)),
		w.Section(6, w.Vec([]byte{0x7e, 1, 0x42, 0, 0x0b})),
		w.Section(9, w.Vec([]byte{1, 0, 1, 1})),
		w.Section(12, []byte{1}),
		w.Section(10, w.Vec(w.Sized(body))),
		w.Section(11, w.Vec([]byte{1, 1, 'x'})),
		w.Custom("name", w.Cat([]byte{1}, names)),
	)
}

func v128(sub byte, more ...byte) []byte { return w.Cat([]byte{0xfd}, w.U32(uint32(sub)), more) }

func TestCodeReadsEveryInstruction(t *testing.T) {
	forms := map[wasmbin.Op][]byte{
		0x02: {0x40, 0x0b}, 0x03: {0x7f, 0x0b}, 0x04: {0x00, 0x05, 0x0b},
		0x0c: {0}, 0x0d: {0}, 0x0e: {2, 0, 0, 0}, 0x10: {1}, 0x11: {0, 0}, 0x12: {0}, 0x13: {0, 0}, 0x1c: {1, 0x7f},
		0x20: {1}, 0x21: {0}, 0x22: {1}, 0x23: {0}, 0x24: {0}, 0x25: {0}, 0x26: {0}, 0x3f: {0}, 0x40: {0},
		0x41: {0x7f}, 0x42: {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f}, 0x43: make([]byte, 4), 0x44: make([]byte, 8),
		0xd0: {0x70}, 0xd2: {1},
		0xfc08: {0, 0}, 0xfc09: {0}, 0xfc0a: {0, 0}, 0xfc0b: {0}, 0xfc0c: {0, 0}, 0xfc0d: {0}, 0xfc0e: {0, 0}, 0xfc0f: {0}, 0xfc10: {0}, 0xfc11: {0},
		0xfd0c: make([]byte, 16), 0xfd0d: bytes.Repeat([]byte{31}, 16),
	}
	for op := wasmbin.Op(0x28); op <= 0x3e; op++ {
		forms[op] = []byte{0, 0xff, 0xff, 0xff, 0xff, 0x0f}
	}
	for _, op := range []wasmbin.Op{0xfd00, 0xfd07, 0xfd0b, 0xfd5c, 0xfd5d} {
		forms[op] = []byte{0, 8}
	}
	for op := wasmbin.Op(0xfd00); op <= 0xfd0b; op++ {
		forms[op] = []byte{0, 8}
	}
	for op := wasmbin.Op(0xfd15); op <= 0xfd22; op++ {
		forms[op] = []byte{1}
	}
	for op := wasmbin.Op(0xfd54); op <= 0xfd5b; op++ {
		forms[op] = []byte{0, 0, 1}
	}
	unassigned := []wasmbin.Op{0xfd9a, 0xfda2, 0xfda5, 0xfda6, 0xfdaf, 0xfdb0, 0xfdb2, 0xfdb3, 0xfdb4, 0xfdbb, 0xfdc2, 0xfdc5, 0xfdc6, 0xfdcf, 0xfdd0, 0xfdd2, 0xfdd3, 0xfdd4, 0xfde2, 0xfdee}
	valid := func(op wasmbin.Op) bool {
		switch {
		case op <= 0x05 && op != 0x05, op >= 0x0c && op <= 0x13, op == 0x1a, op == 0x1b, op == 0x1c, op >= 0x20 && op <= 0x26, op >= 0x28 && op <= 0xc4, op >= 0xd0 && op <= 0xd2:
			return true
		case op >= 0xfc00 && op <= 0xfc11:
			return true
		case op >= 0xfd00 && op <= 0xfdff:
			return !slices.Contains(unassigned, op)
		}
		return false
	}
	count := 0
	for _, prefix := range []wasmbin.Op{0, 0xfc00, 0xfd00} {
		for low := range wasmbin.Op(256) {
			op := prefix | low
			if op == 0x0b || op == 0xfc || op == 0xfd {
				continue
			}
			enc := []byte{byte(op)}
			if prefix != 0 {
				enc = w.Cat([]byte{byte(prefix >> 8)}, w.U32(uint32(low)))
			}
			enc = w.Cat(enc, forms[op])
			in := around(enc, []byte{0x01, 0x0b})
			m, err := wasmbin.Read(in)
			if err != nil {
				t.Fatal(err)
			}
			code := wasmbin.NewCode(m, in)
			code.Open(0)
			ok := code.Next()
			if ok != valid(op) {
				t.Errorf("%s: read %v (%v), want %v", op, ok, code.Err(), valid(op))
			}
			if !ok {
				continue
			}
			count++
			if code.Op != op || code.Start != int(m.Bodies[0].Code) {
				t.Errorf("%s: got %s at %d", op, code.Op, code.Start)
			}
			end := code.End
			var last wasmbin.Op
			for code.Next() {
				if code.Start != end {
					t.Errorf("%s: the next instruction begins at %d, not at %d", op, code.Start, end)
				}
				last, end = code.Op, code.End
			}
			if err := code.Err(); err != nil || last != wasmbin.OpEnd || code.Depth() != 0 || end != int(m.Bodies[0].Offset)+m.Bodies[0].Size {
				t.Errorf("%s: got %v, last %s", op, err, last)
			}
		}
	}
	t.Logf("%d instructions", count)
}

func TestCodeGivesImmediates(t *testing.T) {
	in := around(
		[]byte{0x02, 0x40}, []byte{0x0e, 2, 1, 0, 1}, w.I32(-5), []byte{0x1a}, w.I64(1<<40), []byte{0x1a},
		[]byte{0x11, 0, 0}, []byte{0xfc, 12, 0, 0}, []byte{0x04, 0}, []byte{0x0b}, []byte{0x03, 0x7e, 0x0b, 0x0b, 0x0b})
	m, err := wasmbin.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	code := wasmbin.NewCode(m, in)
	code.Open(0)
	if code.Function() != 1 || code.Locals() != 2 {
		t.Errorf("function %d with %d locals", code.Function(), code.Locals())
	}
	var got []string
	for code.Next() {
		s := fmt.Sprintf("%s@%d", code.Op, code.Depth())
		switch code.Op {
		case wasmbin.OpBlock, wasmbin.OpLoop, wasmbin.OpIf, wasmbin.OpI32Const, wasmbin.OpI64Const:
			s += fmt.Sprintf(" %d", code.Value)
		case wasmbin.OpBrTable:
			s += fmt.Sprint(" ", code.Labels)
		}
		got = append(got, s)
	}
	want := []string{"block@2 -64", "br_table@2 [1 0 1]", "instruction 0x41@2 -5", "instruction 0x1a@2", "instruction 0x42@2 1099511627776", "instruction 0x1a@2",
		"call_indirect@2", "table.init@2", "if@3 0", "end@2", "loop@3 -2", "end@2", "end@1", "end@0"}
	if !slices.Equal(got, want) || code.Err() != nil {
		t.Errorf("got %q, %v", got, code.Err())
	}
}

// TestCodeLooksAhead walks a copy, and then the original, which must not
// notice.
func TestCodeLooksAhead(t *testing.T) {
	in := around(w.Loop(w.Loop(), []byte{0x04, 0x40, 0x05, 0x0b}), []byte{0x0b})
	m, err := wasmbin.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	walk := func(c *wasmbin.Code) (ops []string) {
		for c.Next() {
			ops = append(ops, fmt.Sprint(c.Op, c.Depth(), c.Start))
		}
		if err := c.Err(); err != nil {
			t.Error(err)
		}
		return ops
	}
	a, b := wasmbin.NewCode(m, in), wasmbin.NewCode(m, in)
	a.Open(0)
	b.Open(0)
	a.Next()
	b.Next()
	ahead := *a
	first := walk(&ahead)
	if want := walk(b); !slices.Equal(first, want) || !slices.Equal(walk(a), want) {
		t.Errorf("got %v, want %v", first, want)
	}
}

func TestCodeRefuses(t *testing.T) {
	end := []byte{0x0b}
	for _, c := range []struct {
		name   string
		reason fault.Reason
		text   string
		code   [][]byte
	}{
		{"unknown", "WASM_MALFORMED", "function 1 (main.run): unknown instruction 0x27", [][]byte{{0x27}, end}},
		{"end too soon", "WASM_MALFORMED", "2 bytes are left over", [][]byte{end, {1}, end}},
		{"block not closed", "WASM_MALFORMED", "unexpected end", [][]byte{{2, 0x40}, end}},
		{"else without if", "WASM_MALFORMED", "`else` without `if`", [][]byte{{2, 0x40, 0x05}, end, end}},
		{"two elses", "WASM_MALFORMED", "`else` without `if`", [][]byte{{4, 0x40, 5, 5}, end, end}},
		{"label", "WASM_MALFORMED", "label 1 does not exist: there are 1", [][]byte{{0x0c, 1}, end}},
		{"label of br_table", "WASM_MALFORMED", "label 2 does not exist", [][]byte{{0x02, 0x40, 0x0e, 1, 0, 2}, end, end}},
		{"targets that lie", "WASM_MALFORMED", "br_table of 4294967295 targets is announced", [][]byte{{0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f, 0}, end}},
		{"local", "WASM_MALFORMED", "local 2 does not exist: there are 2", [][]byte{{0x20, 2}, end}},
		{"global", "WASM_MALFORMED", "global 1 does not exist: there are 1", [][]byte{{0x24, 1}, end}},
		{"function", "WASM_MALFORMED", "function 2 does not exist: there are 2", [][]byte{{0x10, 2}, end}},
		{"ref.func", "WASM_MALFORMED", "function 9 does not exist", [][]byte{{0xd2, 9}, end}},
		{"type", "WASM_MALFORMED", "type 1 does not exist: there are 1", [][]byte{{0x11, 1, 0}, end}},
		{"table of a call", "WASM_MALFORMED", "table 1 does not exist", [][]byte{{0x11, 0, 1}, end}},
		{"table", "WASM_MALFORMED", "table 3 does not exist: there are 1", [][]byte{{0x25, 3}, end}},
		{"element segment", "WASM_MALFORMED", "element segment 1 does not exist: there are 1", [][]byte{{0xfc, 13, 1}, end}},
		{"data segment", "WASM_MALFORMED", "data segment 1 does not exist: there are 1", [][]byte{{0xfc, 9, 1}, end}},
		{"type of a block", "WASM_MALFORMED", "type 1, which does not exist", [][]byte{{2, 1}, end, end}},
		{"value type of a block", "WASM_MALFORMED", "unknown type of a block 0x42", [][]byte{{2, 0x42}, end, end}},
		{"padded value type of a block", "WASM_MALFORMED", "type -1, which does not exist", [][]byte{{2, 0xff, 0x7f}, end, end}},
		{"typed reference", "WASM_UNSUPPORTED", "block of type 0x63", [][]byte{{2, 0x63, 0}, end, end}},
		{"alignment", "WASM_MALFORMED", "an alignment of 2^3 is above the natural one, 2^2", [][]byte{{0x28, 3, 0}, end}},
		{"second memory", "WASM_UNSUPPORTED", "more than one memory", [][]byte{{0x28, 0x42, 1, 0}, end}},
		{"memory index", "WASM_MALFORMED", "memory 0x01 is named", [][]byte{{0x3f, 1}, end}},
		{"lane", "WASM_MALFORMED", "lane 16 does not exist", [][]byte{v128(21, 16), end}},
		{"shuffle", "WASM_MALFORMED", "lane 32 does not exist", [][]byte{v128(13, bytes.Repeat([]byte{32}, 16)...), end}},
		{"select", "WASM_MALFORMED", "`select` with 2 types", [][]byte{{0x1c, 2, 0x7f, 0x7f}, end}},
		{"constant cut off", "WASM_MALFORMED", "unexpected end", [][]byte{{0x44}, end}},
		{"constant too long", "WASM_MALFORMED", "malformed signed number", [][]byte{{0x41, 0xff, 0xff, 0xff, 0xff, 0x4f}, end}},
		{"index too long", "WASM_MALFORMED", "longer than 32 bits", [][]byte{{0x20, 0x80, 0x80, 0x80, 0x80, 0x10}, end}},
		{"null type", "WASM_MALFORMED", "0x7f is not a reference type", [][]byte{{0xd0, 0x7f}, end}},
		{"exceptions", "WASM_UNSUPPORTED", "belongs to exceptions", [][]byte{{0x08, 0}, end}},
		{"threads", "WASM_UNSUPPORTED", "belongs to threads", [][]byte{{0xfe, 3, 0}, end}},
		{"garbage collection", "WASM_UNSUPPORTED", "belongs to garbage collection", [][]byte{{0xfb, 0, 0}, end}},
		{"call_ref", "WASM_UNSUPPORTED", "belongs to typed references", [][]byte{{0x14, 0}, end}},
		{"relaxed vectors", "WASM_UNSUPPORTED", "belongs to relaxed vectors", [][]byte{{0xfd, 0x80, 2}, end}},
		{"wide arithmetic", "WASM_UNSUPPORTED", "belongs to a proposal", [][]byte{{0xfc, 19}, end}},
		{"unknown with prefix", "WASM_MALFORMED", "unknown instruction 0xfc 0x30", [][]byte{{0xfc, 0x30}, end}},
		{"unknown beyond a byte", "WASM_MALFORMED", "unknown instruction 0xfc 0x108", [][]byte{{0xfc, 0x88, 2}, end}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := around(c.code...)
			err := readAll(in)
			if err == nil {
				t.Fatal("no error")
			}
			e := asError(t, err)
			if e.Reason != c.reason || !strings.Contains(e.Message, c.text) || offset(e) <= 0 || offset(e) > int64(len(in)) {
				t.Errorf("got %s %q at %d, want %s with %q", e.Reason, e.Message, offset(e), c.reason, c.text)
			}
		})
	}
}

// TestHostileCode asks the compiler, in a few bytes, for more than it can do:
// each module is refused immediately.
func TestHostileCode(t *testing.T) {
	guest := func(locals []byte, code ...[]byte) []byte {
		m := w.Function(w.I32(0))
		m.Table(1)
		m.FuncLocals(">", locals, code...)
		return m.Bytes()
	}
	of := func(n uint32) []byte { return w.Vec(w.Cat(w.U32(n), []byte{0x7f})) }
	for _, c := range []struct {
		name   string
		reason fault.Reason
		text   string
		in     []byte
		limits wasmbin.Limits
	}{
		{"a billion locals", "WASM_LIMIT_LOCALS", "function 2 has too many locals: 1000000000, the limit is 10000", guest(of(1e9)), wasmbin.Limits{}},
		{"locals that overflow", "WASM_LIMIT_LOCALS", "too many locals: 4294976295, the limit", guest(w.Vec(w.Cat(w.U32(9000), []byte{0x7f}), w.Cat(w.U32(1<<32-1), []byte{0x7e}))), wasmbin.Limits{}},
		{"nested blocks", "WASM_LIMIT_NESTING", "function 2 nests blocks 10001 deep, the limit is 10000", guest([]byte{0}, bytes.Repeat([]byte{2, 0x40}, 100_000), bytes.Repeat([]byte{0x0b}, 100_000)), wasmbin.Limits{}},
		{"br_table", "WASM_LIMIT_BRTABLE", "has a br_table of 1000000 targets, the limit is 16384", guest([]byte{0}, w.I32(0), []byte{0x0e}, w.U32(1_000_000), make([]byte, 1_000_001)), wasmbin.Limits{Body: 2 << 20}},
		{"loops x locals", "WASM_LIMIT_COMPLEXITY", "its complexity (locals x blocks, loops and switch targets) is 36125187, most of it in function 2 with 36125187, the limit is 16", guest(of(2000), bytes.Repeat([]byte{3, 0x40}, 2000), bytes.Repeat([]byte{0x0b}, 2000)), wasmbin.Limits{}},
		{"edges x locals", "WASM_LIMIT_COMPLEXITY", "too complex", guest(of(500), bytes.Repeat(w.Cat([]byte{2, 0x40, 0x20, 0, 0x0e}, w.U32(4096), make([]byte, 4097), []byte{0x0b}), 100)), wasmbin.Limits{}},
		{"deep blocks in many functions", "WASM_LIMIT_COMPLEXITY", "too complex", func() []byte {
			m := w.Function(w.I32(0))
			for range 100 {
				m.Func(">", bytes.Repeat([]byte{2, 0x40}, 9000), bytes.Repeat([]byte{0x0b}, 9000))
			}
			return m.Bytes()
		}(), wasmbin.Limits{}},
		{"a long body", "WASM_LIMIT_BODY", "function 2 has 1 MiB (1100002 bytes) of code, the limit is 1 MiB", guest([]byte{0}, make([]byte, 1_100_000)), wasmbin.Limits{}},
		{"a reserved export", "WASM_RESERVED_NAME", `exports "ruedo:fuel"`, func() []byte {
			m := w.Function(w.I32(0))
			m.ExportKind("ruedo:fuel", 3, m.Global(1))
			return m.Bytes()
		}(), wasmbin.Limits{}},
		{"a reserved import", "WASM_RESERVED_NAME", `imports from "ruedo:meter"`, func() []byte {
			m := w.New()
			m.Import("ruedo:meter", "refuel", ">")
			m.Memory(1, 1)
			m.AsFunction(m.Func(">i", w.I32(0)))
			return m.Bytes()
		}(), wasmbin.Limits{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrivesAnyhow(t, c.in, c.limits)
			var best time.Duration
			var err error
			for range 3 {
				began := time.Now()
				check(t, c.in, func() error {
					_, err = wasmbin.Admit(c.in, c.limits)
					return err
				})
				if took := time.Since(began); best == 0 || took < best {
					best = took
				}
			}
			if err == nil {
				t.Fatal("no error")
			}
			e := asError(t, err)
			if e.Reason != c.reason || !strings.Contains(e.Message, c.text) {
				t.Errorf("got %s %q, want %s with %q", e.Reason, e.Message, c.reason, c.text)
			}
			t.Logf("%d bytes, %s: %s", len(c.in), best, e.Message)
		})
	}
}

func TestFunctionName(t *testing.T) {
	in := around([]byte{0x0b})
	m, err := wasmbin.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"env.f", "main.run", ""} {
		if got := m.FunctionName(in, uint32(i)); got != want {
			t.Errorf("function %d: got %q, want %q", i, got, want)
		}
	}
}
