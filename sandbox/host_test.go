package sandbox_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// TestImportsThatAreAllowedExist compares the list that admission uses with the
// runtime's functions, name by name and signature by signature.
func TestImportsThatAreAllowedExist(t *testing.T) {
	r := wazero.NewRuntime(t.Context())
	defer r.Close(t.Context())
	m, err := wasi_snapshot_preview1.NewBuilder(r).Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	types := func(ts []byte) string {
		var s []string
		for _, b := range ts {
			s = append(s, wasmbin.ValType(b).String())
		}
		return "(" + strings.Join(s, ", ") + ")"
	}
	allowed := wasmbin.HostFunctions(abi.WASIModule)
	for name, d := range m.ExportedFunctions() {
		got := types(d.ParamTypes()) + " -> " + types(d.ResultTypes())
		switch want, ok := allowed[name]; {
		case !ok:
			t.Errorf("%s is there and not allowed", name)
		case ok && got != want.String():
			t.Errorf("%s has the signature %s, the admission wants %s", name, got, want)
		}
		delete(allowed, name)
	}
	if len(allowed) > 0 {
		t.Errorf("allowed and not there: %v", slices.Collect(maps.Keys(allowed)))
	}
}

// caller is a guest whose input is a list of records: a host function in the
// first byte, and its arguments, 8 bytes each. It makes these calls and returns
// their results, 8 bytes each.
type caller struct {
	names  []string
	params []int
}

const record = 1 + 9*8

func newCaller() (*caller, []byte) {
	c, m := &caller{}, w.New()
	var sigs []string
	for _, module := range []string{abi.HostModule, abi.WASIModule} {
		list := wasmbin.HostFunctions(module)
		for _, name := range slices.Sorted(maps.Keys(list)) {
			sig := strings.NewReplacer("(", "", ")", "", ", ", "", " -> ", ">", "i32", "i", "i64", "I").Replace(list[name].String())
			m.Import(module, name, sig)
			c.names, c.params, sigs = append(c.names, name), append(c.params, strings.IndexByte(sig, '>')), append(sigs, sig)
		}
	}
	read, write := uint32(slices.Index(c.names, abi.ImportInputRead)), uint32(slices.Index(c.names, abi.ImportOutputWrite))
	m.Memory(2, 16)
	var code []byte
	for i, sig := range sigs {
		params, results, _ := strings.Cut(sig, ">")
		call := w.I32(65536 + 512) // where the result goes
		for k, p := range params {
			op := byte(0x28)
			if p == 'I' {
				op = 0x29
			}
			call = w.Cat(call, w.I32(65536), []byte{op, 0}, w.U32(uint32(1+8*k)))
		}
		call = w.Cat(call, w.Call(uint32(i)))
		switch results {
		case "":
			call = w.Cat(call, w.I64(0))
		case "i":
			call = w.Cat(call, w.Ops(0xac)) // i64.extend_i32_s
		}
		call = w.Cat(call, w.Ops(0x37, 0, 0))
		code = w.Cat(code, w.I32(65536), w.Ops(0x2d, 0, 0), w.I32(int32(i)), w.Ops(0x46, 0x04, 0x40), call, w.Ops(0x0b))
	}
	m.AsFunction(m.Func(">i", w.Ops(0x03, 0x40),
		// if input_read(65536, record) == record { call; write; again }
		w.CallWith(read, 65536, record), w.I32(record), w.Ops(0x46, 0x04, 0x40),
		code, w.CallWith(write, 65536+512, 8), w.Drop(), w.Ops(0x0c, 1, 0x0b, 0x0b), w.I32(0)))
	return c, m.Bytes()
}

// call encodes one call.
func (c *caller) call(name string, args ...uint64) []byte {
	b := make([]byte, record)
	b[0] = byte(slices.Index(c.names, name))
	for i, a := range args {
		binary.LittleEndian.PutUint64(b[1+8*i:], a)
	}
	return b
}

func results(b []byte) []int64 {
	var r []int64
	for ; len(b) >= 8; b = b[8:] {
		r = append(r, int64(binary.LittleEndian.Uint64(b)))
	}
	return r
}

func TestBadPointers(t *testing.T) {
	c, wasm := newCaller()
	tpl := load(t, sandbox.Spec{Wasm: wasm})
	const size = 2 * 65536
	for _, name := range []string{abi.ImportInputRead, abi.ImportHeadRead, abi.ImportHeadWrite, abi.ImportOutputWrite} {
		var in []byte
		for _, p := range [][2]uint64{{size, 1}, {size - 1, 2}, {0, size + 1}, {0xffffffff, 1}, {0xffffffff, 0xffffffff}, {1, 0xffffffff}, {size + 1, 0}} {
			in = append(in, c.call(name, p[0], p[1])...)
		}
		in = append(in, c.call(name, size, 0)...)
		res, err := tpl.Call(t.Context(), sandbox.Request{Input: in})
		if err != nil {
			t.Fatal(err)
		}
		got := results(res.Output)
		want := []int64{-1, -1, -1, -1, -1, -1, -1, 0}
		if name == abi.ImportHeadWrite {
			want[7] = abi.ErrState // earlier results are output already
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	in := append(c.call(abi.ImportLog, 0, size, 1), c.call(abi.ImportLog, 0xffffffff, 0xffffffff, 0xffffffff)...)
	res, err := tpl.Call(t.Context(), sandbox.Request{Input: append(in, c.call(abi.ImportInputSize)...)})
	if err != nil || strings.Count(string(res.Logs), "outside of the guest's memory") != 2 || results(res.Output)[2] != 3*record {
		t.Errorf("got %v, %v, %s", err, results(res.Output), res.Logs)
	}
	_, err = tpl.Call(t.Context(), sandbox.Request{Input: c.call(abi.ImportFail, 7, size, 1)})
	if e := refused(t, err, fault.GuestError); e.ConnectCode() != 7 {
		t.Errorf("got %+v", e)
	}
}

// TestHeads tests when and what a guest can write in its response head.
func TestHeads(t *testing.T) {
	field := func(k, v string) []byte { return abi.AppendField(nil, k, v) }
	head := func(b []byte, code ...[]byte) *w.Module {
		m := w.New()
		write := m.Import("ruedo", "head_write", "ii>i")
		m.Import("ruedo", "output_write", "ii>i")
		m.Memory(2, 2)
		m.Data(0, b)
		if len(code) == 0 {
			code = [][]byte{w.CallWith(write, 0, int32(len(b)))}
		} else {
			code = append(code, w.Drop(), w.CallWith(write, 0, int32(len(b))))
		}
		m.AsFunction(m.Func(">i", code...))
		return m
	}
	ok := field("content-type", "image/png")
	for _, c := range []struct {
		name        string
		m           *w.Module
		status      int
		contentType string
	}{
		{"empty", head(nil), 0, ""},
		{"content type", head(ok), len(ok), "image/png"},
		{"unknown field", head(field("x-later", "1")), 16, ""},
		{"twice", head(ok, w.CallWith(0, 0, int32(len(ok)))), abi.ErrState, "image/png"},
		{"after the output", head(ok, w.CallWith(1, 0, 1)), abi.ErrState, ""},
		{"cut off", head(ok[:len(ok)-1]), abi.ErrInvalid, ""},
		{"length that lies", head([]byte{0xff, 0xff, 0xff, 0xff, 'a'}), abi.ErrInvalid, ""},
		{"line feed", head(field("content-type", "a\r\nset-cookie: b")), abi.ErrInvalid, ""},
		{"not ASCII", head(field("content-type", "é")), abi.ErrInvalid, ""},
		{"too large", head(make([]byte, 65537)), abi.ErrLimit, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tpl := load(t, sandbox.Spec{Wasm: c.m.Bytes()})
			res, err := tpl.Call(t.Context(), sandbox.Request{})
			if c.status == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			// The guest returns the result of head_write.
			if e := refused(t, err, fault.GuestError); e.Meta["status"] != fmt.Sprint(c.status) {
				t.Errorf("got %+v, want %d", e, c.status)
			}
			if res.ContentType != "" {
				t.Error("a failed call has a content type")
			}
		})
	}
}

// FuzzHostCalls calls host functions with any arguments in any order. Only
// errors of the guest are allowed, and no call may last.
func FuzzHostCalls(f *testing.F) {
	c, wasm := newCaller()
	e := newEngine(f, sandbox.Config{})
	tpl, err := e.Load(f.Context(), sandbox.Spec{Wasm: wasm, Limits: sandbox.Limits{
		Timeout: 100 * time.Millisecond, Memory: 1 << 20, Output: 4096, Logs: 4096,
	}})
	if err != nil {
		f.Fatal(err)
	}
	edges := []uint64{0, 1, 3, 1 << 16, 1<<17 - 1, 1 << 17, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	for _, name := range c.names {
		for i := range edges {
			var args []uint64
			for k := range 9 {
				args = append(args, edges[(i*(k+1)+k)%len(edges)])
			}
			f.Add(c.call(name, args...))
		}
	}
	f.Add(slices.Concat(c.call("fd_close", 1), c.call("fd_write", 1, 0, 1, 100), c.call("fd_renumber", 0, 2), c.call("fd_read", 2, 0, 1, 100)))
	f.Add(slices.Concat(c.call("poll_oneoff", 0, 0, 1, 0), c.call("poll_oneoff", 0, 1, 0x05555556, 0)))
	f.Fuzz(func(t *testing.T, in []byte) {
		began := time.Now()
		res, err := tpl.Call(t.Context(), sandbox.Request{ID: "x", Input: in})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
		if len(res.Logs) > 4096+200 || len(res.Output) > 4096 {
			t.Errorf("%d bytes of logs, %d of output", len(res.Logs), len(res.Output))
		}
		if err == nil {
			return
		}
		switch x := err.(*fault.Error); x.Reason {
		case fault.GuestExit, fault.GuestTimeout, fault.GuestError, fault.GuestOutputLimit, fault.GuestTrap, fault.InputTooLarge, fault.Canceled:
		default:
			t.Errorf("got %s %q (%v)", x.Reason, x.Message, x.Err)
		}
	})
}
