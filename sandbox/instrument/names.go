package instrument

import (
	"strings"
	"unicode"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

const nameSection = "name"

// Parts of the name section that are retained: the names of the module and of
// functions. Traces do not show locals and labels, and the labels of unrolled
// loops would be wrong.
const (
	namesModule    = 0
	namesFunctions = 1
)

// names appends the name section, if the module has one, with shifted functions
// and with the functions that were added. If it is damaged, the part before the
// damage is retained.
func (rw *rewriter) names(out []byte) []byte {
	for _, s := range rw.m.Sections {
		if s.ID != wasmbin.SectionCustom || s.Name != nameSection {
			continue
		}
		body := appendName(nil, nameSection)
		for r := s.Reader(rw.file); r.Len() > 0; {
			id, err := r.Byte()
			if err != nil {
				break
			}
			size, err := r.U32()
			if err != nil {
				break
			}
			part, err := r.Sub(uint64(size))
			if err != nil {
				break
			}
			switch id {
			case namesModule:
				if name, err := part.Name(); err == nil && part.Len() == 0 {
					body = appendSection(body, id, appendName(nil, name))
				}
			case namesFunctions:
				body = appendSection(body, id, rw.functionNames(part))
			}
		}
		return appendSection(out, wasmbin.SectionCustom, body)
	}
	return out
}

// oneLine removes control characters from a name, so that in a trace it cannot
// look like more than one function.
func oneLine(name string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return '_'
		}
		return c
	}, name)
}

// functionNames keeps the order of the indexes, which readers rely on.
func (rw *rewriter) functionNames(r *wasmbin.Reader) []byte {
	var out []byte
	count, last := uint32(0), int64(-1)
	add := func(index uint32, name string) {
		out = appendName(appendU32(out, index), name)
		count++
	}
	n, err := r.U32()
	for ; n > 0 && err == nil; n-- {
		var index uint32
		if index, err = r.U32(); err != nil {
			break
		}
		if int64(index) <= last || index >= rw.funcs {
			break
		}
		var name string
		if name, err = r.Name(); err != nil {
			break
		}
		if rw.o.Meter && last < int64(rw.imported) && index >= rw.imported {
			add(rw.refuel(), wasmbin.ReservedPrefix+ImportRefuel)
		}
		add(rw.shift(index), oneLine(name))
		last = int64(index)
	}
	for _, h := range rw.helpers {
		add(rw.helper(h), h.name())
	}
	return append(appendU32(nil, count), out...)
}
