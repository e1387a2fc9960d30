package sandboxed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// bake starts a module, warms it with the input, and writes the state of its
// memory and globals into a module that begins with that state. A runtime
// without snapshots needs such a module to start from one.
func bake(ctx context.Context, wasm []byte) (_ []byte, err error) {
	prepared, err := instrument.Rewrite(wasm, instrument.Options{})
	if err != nil {
		return nil, err
	}
	if !prepared.Restorable {
		return nil, fmt.Errorf("it cannot be baked: %v", prepared.Reasons)
	}
	p, err := newPlain(ctx, prepared.Wasm, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	m, err := p.runtime.InstantiateModule(ctx, p.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, err
	}
	for _, s := range prepared.Segments {
		if !m.Memory().Write(s.Offset, s.Bytes) {
			return nil, errors.New("a segment does not fit")
		}
	}
	for _, name := range []string{prepared.Start, abi.ExportInitialize, abi.ExportWarm} {
		if f := m.ExportedFunction(name); f != nil {
			if _, err := f.Call(ctx); err != nil {
				return nil, err
			}
		}
	}
	i := &instance{m, m.ExportedFunction(abi.ExportCall)}
	for range 3 {
		if _, err := i.answer(ctx, []byte(input)); err != nil {
			return nil, err
		}
	}
	memory, _ := m.Memory().Read(0, m.Memory().Size())
	return rebuild(prepared.Wasm, memory, m)
}

// rebuild returns a module without data with the memory and the globals of an
// instance.
func rebuild(wasm, memory []byte, m api.Module) ([]byte, error) {
	module, err := wasmbin.Read(wasm)
	if err != nil {
		return nil, err
	}
	values := map[uint32]uint64{}
	for _, e := range module.Exports {
		if g := m.ExportedGlobal(e.Name); g != nil {
			values[e.Index] = g.Get()
		}
	}
	out := w.Header()
	for _, s := range module.Sections {
		body := wasm[s.Offset : int(s.Offset)+s.Size]
		switch s.ID {
		case wasmbin.SectionMemory:
			limits := w.Cat([]byte{0}, w.U32(uint32(len(memory)/wasmPage)))
			if most := module.Memories[0]; most.HasMax {
				limits = w.Cat([]byte{1}, w.U32(uint32(len(memory)/wasmPage)), w.U64(most.Max))
			}
			body = w.Vec(limits)
		case wasmbin.SectionGlobal:
			if body, err = globals(wasmbin.NewReader(body, s.Offset), values); err != nil {
				return nil, err
			}
		}
		out = append(out, w.Section(s.ID, body)...)
	}
	return append(out, w.Section(wasmbin.SectionData, data(memory))...), nil
}

const wasmPage = 1 << 16

// globals copies the section, and replaces the values that are given.
func globals(r *wasmbin.Reader, values map[uint32]uint64) ([]byte, error) {
	n, err := r.U32()
	if err != nil {
		return nil, err
	}
	out := w.U32(n)
	for i := range n {
		kind, err := r.Byte()
		if err != nil {
			return nil, err
		}
		mutable, err := r.Byte()
		if err != nil {
			return nil, err
		}
		code, err := constant(r)
		if err != nil {
			return nil, err
		}
		if v, ok := values[i]; ok {
			switch wasmbin.ValType(kind) {
			case wasmbin.I32:
				code = w.I32(int32(v))
			case wasmbin.I64:
				code = w.I64(int64(v))
			case wasmbin.F32:
				code = binary.LittleEndian.AppendUint32([]byte{0x43}, uint32(v))
			case wasmbin.F64:
				code = binary.LittleEndian.AppendUint64([]byte{0x44}, v)
			}
			code = append(code, 0x0b)
		}
		out = w.Cat(out, []byte{kind, mutable}, code)
	}
	return out, nil
}

// constant copies the bytes of a constant expression of the kinds that are not
// replaced: those of immutable numbers and references.
func constant(r *wasmbin.Reader) ([]byte, error) {
	var out []byte
	for {
		op, err := r.Byte()
		if err != nil {
			return nil, err
		}
		out = append(out, op)
		fixed := 0
		switch op {
		case 0x0b:
			return out, nil
		case 0x43:
			fixed = 4
		case 0x44:
			fixed = 8
		default: // a number in LEB128
			for more := true; more; {
				c, err := r.Byte()
				if err != nil {
					return nil, err
				}
				out, more = append(out, c), c&0x80 != 0
			}
		}
		for range fixed {
			c, err := r.Byte()
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
}

// data returns a section with all nonzero pages of 4 KiB.
func data(memory []byte) []byte {
	const page = 4096
	zeros := make([]byte, page)
	var segments [][]byte
	for at := 0; at < len(memory); {
		end := at
		for end < len(memory) && !bytes.Equal(memory[end:end+page], zeros) {
			end += page
		}
		if end > at {
			segments = append(segments, w.Cat([]byte{0}, w.I32(int32(at)), []byte{0x0b}, w.Sized(memory[at:end])))
		}
		at = end + page
	}
	return w.Vec(segments...)
}
