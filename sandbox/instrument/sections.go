package instrument

import (
	"fmt"
	"strconv"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// types appends the signatures of refuel and of the helpers.
func (rw *rewriter) types() ([]byte, error) {
	if !rw.o.Meter {
		return rw.extend(wasmbin.SectionType, 0, nil)
	}
	const (
		i32      = byte(wasmbin.I32)
		function = 0x60
	)
	return rw.extend(wasmbin.SectionType, 3, []byte{
		function, 0, 0,
		function, 3, i32, i32, i32, 0,
		function, 1, i32, 1, i32,
	})
}

// Indexes of the added types.
func (rw *rewriter) typeOfRefuel() uint32 { return uint32(len(rw.m.Types)) }
func (rw *rewriter) typeOfBulk() uint32   { return uint32(len(rw.m.Types)) + 1 }
func (rw *rewriter) typeOfPay() uint32    { return uint32(len(rw.m.Types)) + 2 }

func (rw *rewriter) imports() ([]byte, error) {
	if !rw.o.Meter {
		return rw.extend(wasmbin.SectionImport, 0, nil)
	}
	entry := appendName(appendName(nil, ImportModule), ImportRefuel)
	entry = appendU32(append(entry, byte(wasmbin.ExternFunc)), rw.typeOfRefuel())
	return rw.extend(wasmbin.SectionImport, 1, entry)
}

func (rw *rewriter) functions() ([]byte, error) {
	var more []byte
	for _, h := range rw.helpers {
		more = appendU32(more, h.typeIndex(rw))
	}
	return rw.extend(wasmbin.SectionFunction, len(rw.helpers), more)
}

func (rw *rewriter) tables() ([]byte, error) {
	if len(rw.m.Tables) == 0 {
		return rw.extend(wasmbin.SectionTable, 0, nil)
	}
	out := appendU32(nil, uint32(len(rw.m.Tables)))
	for _, t := range rw.m.Tables {
		rw.res.TableMin += t.Min
		if limit := max(uint64(rw.o.TableMax), t.Min); rw.o.TableMax > 0 && (!t.HasMax || t.Max > limit) {
			t.HasMax, t.Max = true, limit
		}
		out = appendRange(append(out, byte(t.Type)), t.Range, 0)
	}
	return out, nil
}

func (rw *rewriter) memories() ([]byte, error) {
	if len(rw.m.Memories) == 0 {
		return rw.extend(wasmbin.SectionMemory, 0, nil)
	}
	const maxPages = 65536 // pages that 32 bits address
	out := appendU32(nil, uint32(len(rw.m.Memories)))
	for i, mem := range rw.m.Memories {
		limit := uint64(maxPages)
		if mem.HasMax {
			limit = min(limit, mem.Max)
		}
		if allowed := uint64(rw.o.MemoryMaxPages); allowed > 0 {
			if mem.Min > allowed {
				return nil, &fault.Error{
					Reason: fault.WasmLimitMemory,
					Message: fmt.Sprintf("the module requires %d bytes of memory at its start, the limit is %d",
						mem.Min*wasmbin.PageSize, allowed*wasmbin.PageSize),
					Fix: "raise the memory limit in a decorator, or build the module with less initial memory",
				}
			}
			limit = min(limit, allowed)
		}
		if i == 0 {
			rw.res.MemoryMaxPages = uint32(limit)
		}
		if limit = min(limit+uint64(rw.o.MemorySlackPages), maxPages); mem.HasMax || limit < maxPages {
			mem.HasMax, mem.Max = true, limit
		}
		flags := byte(0)
		if mem.Shared {
			flags |= 2
		}
		if mem.Is64 {
			flags |= 4
		}
		out = appendRange(out, mem.Range, flags)
	}
	return out, nil
}

func (rw *rewriter) globalSection() ([]byte, error) {
	r, ok := rw.section(wasmbin.SectionGlobal)
	n := uint32(len(rw.m.Globals))
	if !ok && !rw.o.Meter {
		return nil, nil
	}
	if rw.o.Meter {
		n++
	}
	out := appendU32(nil, n)
	if ok {
		if _, err := r.U32(); err != nil {
			return nil, err
		}
		for range rw.m.Globals {
			kind, err := r.Bytes(2) // type and mutability
			if err != nil {
				return nil, err
			}
			if out, _, err = rw.constant(append(out, kind...), r); err != nil {
				return nil, err
			}
		}
	}
	if rw.o.Meter {
		out = append(out, byte(wasmbin.I64), 1)
		out = asm(out).i64(0).end()
	}
	return out, nil
}

func (rw *rewriter) exports() ([]byte, error) {
	n := len(rw.m.Exports)
	var out []byte
	add := func(name string, kind wasmbin.ExternKind, index uint32) {
		out = appendU32(append(appendName(out, name), byte(kind)), index)
	}
	for _, x := range rw.m.Exports {
		if x.Kind == wasmbin.ExternFunc {
			x.Index = rw.shift(x.Index)
		}
		add(x.Name, x.Kind, x.Index)
	}
	first := rw.globals - uint32(len(rw.m.Globals))
	for i, g := range rw.m.Globals {
		if !g.Mutable || !number(g.Type) {
			continue
		}
		index := first + uint32(i)
		name := ExportGlobal + strconv.FormatUint(uint64(index), 10)
		add(name, wasmbin.ExternGlobal, index)
		rw.res.Globals = append(rw.res.Globals, Global{Name: name, Type: g.Type})
		n++
	}
	if s := rw.m.Start; s != nil {
		rw.res.Start = ExportStart
		add(ExportStart, wasmbin.ExternFunc, rw.shift(*s))
		n++
	}
	if rw.o.Meter {
		rw.res.Fuel = ExportFuel
		add(ExportFuel, wasmbin.ExternGlobal, rw.fuel())
		n++
	}
	if n == 0 {
		return rw.extend(wasmbin.SectionExport, 0, nil)
	}
	return append(appendU32(nil, uint32(n)), out...), nil
}

// number reports whether a host can read and write a global of the type.
func number(t wasmbin.ValType) bool {
	switch t {
	case wasmbin.I32, wasmbin.I64, wasmbin.F32, wasmbin.F64:
		return true
	}
	return false
}
