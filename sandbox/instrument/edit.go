package instrument

import "github.com/ruedo-dev/ruedo/internal/wasmbin"

// edit replaces a piece of a function's code. The edits of a function are in
// the order of the code and do not overlap.
type edit struct {
	kind    editKind
	at, end int    // in the given file
	cost    int    // of editAdd, editCheck and editLoop; 0 leaves the code alone
	index   uint32 // new index of a function
	blob    [2]int // the unrolled body, in the loop's blobs
}

type editKind uint8

const (
	editIndex editKind = iota // write index
	editCall                  // call index
	editBulk                  // charge the length, and call index if it is long
	editAdd                   // charge
	editCheck                 // charge and test
	editLoop                  // a loop with one test, around the unrolled body
)

func (f *function) edit(e edit) int {
	f.edits = append(f.edits, e)
	return len(f.edits) - 1
}

// write appends the body between the file offsets at and end, with its edits.
func (f *function) write(out []byte, at, end int) []byte {
	file := f.rw.file
	if f.lengths {
		out, at = f.addLocal(out, at)
	}
	for i := range f.edits {
		e := &f.edits[i]
		out = append(out, file[at:e.at]...)
		at = e.end
		switch e.kind {
		case editIndex:
			out = appendU32(out, e.index)
		case editCall:
			out = asm(out).index(wasmbin.OpCall, e.index)
		case editBulk:
			out = f.bulkInPlace(out, e)
		case editAdd:
			if e.cost > 0 {
				out = f.rw.charge(out, e.cost)
			}
		case editCheck:
			if e.cost > 0 {
				out = f.rw.check(f.rw.charge(out, e.cost))
			}
		case editLoop:
			out = asm(out).block(wasmbin.OpBlock).block(wasmbin.OpLoop)
			out = f.rw.check(f.rw.charge(out, e.cost))
			out = append(out, f.loop.blobs[e.blob[0]:e.blob[1]]...)
			out = asm(out).end().end()
		}
	}
	return append(out, file[at:end]...)
}

// addLocal copies the locals of a body from an offset, adds one for lengths,
// and returns the offset after them.
func (f *function) addLocal(out []byte, at int) ([]byte, int) {
	code := int(f.body.Code)
	r := wasmbin.NewReader(f.rw.file[at:code], int64(at))
	groups, err := r.U32()
	if err != nil {
		return out, at // impossible after Read
	}
	out = appendU32(out, groups+1)
	out = append(out, f.rw.file[r.Offset():code]...)
	return append(out, 1, byte(wasmbin.I32)), code
}

// bulkInPlace charges for a length in front of the instruction. It needs no
// test, because a helper handles the long ones.
func (f *function) bulkInPlace(out []byte, e *edit) []byte {
	length := uint32(f.code.Locals())
	a := asm(out).index(wasmbin.OpLocalTee, length).get(length).i32(smallBulk).op(wasmbin.OpI32GtU)
	a = appendSigned(a.op(wasmbin.OpIf), int64(f.rw.typeOfBulk()))
	a = a.index(wasmbin.OpCall, e.index).op(wasmbin.OpElse)
	a = f.rw.chargeLength(a, length)
	a = append(a, f.rw.file[e.at:e.end]...)
	return a.end()
}

// charge subtracts a constant from the fuel.
func (rw *rewriter) charge(out []byte, cost int) []byte {
	return asm(out).index(wasmbin.OpGlobalGet, rw.fuel()).i64(int64(cost)).op(wasmbin.OpI64Sub).index(wasmbin.OpGlobalSet, rw.fuel())
}

// check calls refuel if the fuel is below zero. After a guest was stopped its
// fuel is still negative, so it stops again.
func (rw *rewriter) check(out []byte) []byte {
	rw.res.Checks++
	return asm(out).index(wasmbin.OpGlobalGet, rw.fuel()).i64(0).op(wasmbin.OpI64LtS).
		block(wasmbin.OpIf).index(wasmbin.OpCall, rw.refuel()).end()
}
