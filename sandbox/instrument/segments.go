package instrument

import "github.com/ruedo-dev/ruedo/internal/wasmbin"

// constant copies a constant expression to out, including its end. If it is a
// single i32.const, value is its constant, otherwise negative.
func (rw *rewriter) constant(out []byte, r *wasmbin.Reader) (_ []byte, value int64, err error) {
	value = -1
	for n := 0; ; n++ {
		at := r.Offset()
		op, err := r.Byte()
		if err != nil {
			return nil, 0, err
		}
		if n == 1 && wasmbin.Op(op) != wasmbin.OpEnd {
			value = -1
		}
		switch wasmbin.Op(op) {
		case wasmbin.OpEnd:
			return append(out, op), value, nil
		case wasmbin.OpI32Const:
			var v int32
			if v, err = r.I32(); n == 0 {
				value = int64(uint32(v))
			}
		case wasmbin.OpI64Const:
			_, err = r.I64()
		case wasmbin.OpF32Const:
			_, err = r.Bytes(4)
		case wasmbin.OpF64Const:
			_, err = r.Bytes(8)
		case wasmbin.OpGlobalGet:
			_, err = r.U32()
		case wasmbin.OpRefNull:
			_, err = r.Byte()
		case wasmbin.OpRefFunc:
			var f uint32
			if f, err = r.U32(); err != nil {
				return nil, 0, err
			}
			out = appendU32(append(out, op), rw.shift(f))
			continue
		case 0xfd: // v128.const, the only one that Read accepts
			if _, err = r.U32(); err == nil {
				_, err = r.Bytes(16)
			}
		}
		if err != nil {
			return nil, 0, err
		}
		out = append(out, rw.since(at, r)...)
	}
}

// elements copies the element segments with shifted functions. Bits of the
// flags: 1 not active, 2 explicit table or declarative, 4 expressions.
func (rw *rewriter) elements() ([]byte, error) {
	r, ok := rw.section(wasmbin.SectionElement)
	if !ok {
		return nil, nil
	}
	n, err := r.U32()
	if err != nil {
		return nil, err
	}
	out := appendU32(nil, n)
	for range n {
		at := r.Offset()
		flags, err := r.U32()
		if err != nil {
			return nil, err
		}
		if flags&3 == 2 { // active, in a given table
			if _, err := r.U32(); err != nil {
				return nil, err
			}
		}
		out = append(out, rw.since(at, r)...)
		if flags&1 == 0 {
			if out, _, err = rw.constant(out, r); err != nil {
				return nil, err
			}
		}
		if flags&3 != 0 {
			kind, err := r.Byte()
			if err != nil {
				return nil, err
			}
			out = append(out, kind)
		}
		k, err := r.U32()
		if err != nil {
			return nil, err
		}
		out = appendU32(out, k)
		for range k {
			if flags&4 != 0 {
				if out, _, err = rw.constant(out, r); err != nil {
					return nil, err
				}
				continue
			}
			f, err := r.U32()
			if err != nil {
				return nil, err
			}
			out = appendU32(out, rw.shift(f))
		}
	}
	return out, nil
}

// data removes the active segments, if all of them can be removed: the host
// then copies them into each instance. Otherwise they all stay, because they
// can overlap and their order matters.
func (rw *rewriter) data() ([]byte, error) {
	r, ok := rw.section(wasmbin.SectionData)
	if !ok {
		return nil, nil
	}
	n, err := r.U32()
	if err != nil {
		return nil, err
	}
	var room uint64
	if len(rw.m.Memories) == 1 && rw.ownMemory() {
		room = rw.m.Memories[0].Min * wasmbin.PageSize
	}
	segments := make([]Segment, 0, n)
	left := appendU32(nil, n) // the remainder if the active ones are removed
	var scratch []byte
	for range n {
		at := r.Offset()
		flags, err := r.U32()
		if err != nil {
			return nil, err
		}
		offset := int64(-1)
		if flags == 2 { // the memory is given
			if _, err := r.U32(); err != nil {
				return nil, err
			}
		}
		if flags != 1 {
			if scratch, offset, err = rw.constant(scratch[:0], r); err != nil {
				return nil, err
			}
		}
		size, err := r.U32()
		if err != nil {
			return nil, err
		}
		bytes, err := r.Bytes(uint64(size))
		if err != nil {
			return nil, err
		}
		if flags == 1 {
			left = append(left, rw.since(at, r)...)
			continue
		}
		if offset < 0 || uint64(offset)+uint64(size) > room {
			// They are written to each new instance, over whatever is there.
			rw.res.Reasons = append(rw.res.Reasons, "it has data at an offset that is not a constant within its memory")
			return rw.extend(wasmbin.SectionData, 0, nil)
		}
		// An active segment without bytes. It counts as dropped, as every active
		// segment does once it was copied.
		left = append(asm(append(left, 0)).i32(0).end(), 0)
		if size > 0 {
			segments = append(segments, Segment{Offset: uint32(offset), Bytes: bytes})
		}
	}
	rw.res.Segments = segments
	if !rw.scan.segments {
		return nil, nil
	}
	return left, nil
}

// dataCount is needed only if instructions refer to data segments.
func (rw *rewriter) dataCount() ([]byte, error) {
	if !rw.scan.segments {
		return nil, nil
	}
	return rw.extend(wasmbin.SectionDataCount, 0, nil)
}

// ownMemory reports whether no memory is imported.
func (rw *rewriter) ownMemory() bool {
	for _, im := range rw.m.Imports {
		if im.Kind == wasmbin.ExternMemory {
			return false
		}
	}
	return true
}
