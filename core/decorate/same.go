package decorate

import (
	"bytes"
	"hash/maphash"
	"slices"
	"strconv"
)

// choice is an enum or a const: the canonical forms of the values accepted.
type choice struct {
	kinds   kindSet
	longest int // of the strings, in bytes
	forms   map[string]struct{}
	text    string // "one of ..."
}

// chosen reports whether the value at an index is one of the choice.
func (c *checker) chosen(e *choice, at uint32) bool {
	v := &c.values[at]
	kind := v.kind
	if kind == kindEscaped {
		kind = kindString
	}
	if !e.kinds.has(kind) || v.kind == kindString && int(v.to-v.from) > e.longest {
		return false
	}
	if !c.spend(c.formWork(at)) {
		return false
	}
	from := len(c.scratch)
	c.scratch = c.form(c.scratch, at)
	_, is := e.forms[string(c.scratch[from:])]
	c.scratch = c.scratch[:from]
	return is
}

// formWork is what the canonical form of a value costs.
func (d *document) formWork(at uint32) int {
	v := &d.values[at]
	return 2 + int(v.to-v.from)/8 + 8*int(v.next-at)
}

// form appends the canonical form of a value: equal values, and no others, have
// the same one. 1, 1.0 and 10e-1 are equal.
func (d *document) form(b []byte, at uint32) []byte {
	v := &d.values[at]
	switch v.kind {
	case kindNull:
		return append(b, 'n')
	case kindFalse:
		return append(b, 'f')
	case kindTrue:
		return append(b, 't')
	case kindNumber:
		var scratch [maxDigits]byte
		n := parseDecimal(d.raw[v.from:v.to], &scratch)
		if n.negative {
			b = append(b, '-')
		}
		b = append(append(b, '#'), n.digits...)
		return append(strconv.AppendInt(append(b, 'e'), int64(n.exp), 10), ';')
	case kindArray:
		b = append(strconv.AppendUint(append(b, 'a'), uint64(v.count), 10), ':')
		for i, item := uint32(0), at+1; i < v.count; i, item = i+1, d.values[item].next {
			b = d.form(b, item)
		}
		return b
	case kindObject:
		b = append(strconv.AppendUint(append(b, 'o'), uint64(v.count), 10), ':')
		keys := make([]memberName, 0, v.count)
		for i, key := uint32(0), at+1; i < v.count; i, key = i+1, d.values[key+1].next {
			keys = append(keys, memberName{d.text(key), key})
		}
		slices.SortFunc(keys, func(x, y memberName) int { return bytes.Compare(x.text, y.text) })
		for _, key := range keys {
			b = d.form(appendText(b, key.text), key.at+1)
		}
		return b
	}
	return appendText(b, d.text(at))
}

func appendText(b, text []byte) []byte {
	b = append(strconv.AppendInt(append(b, 's'), int64(len(text)), 10), ':')
	return append(b, text...)
}

type memberName struct {
	text []byte
	at   uint32
}

// mark is an item with the hash of its canonical form.
type mark struct {
	hash     uint64
	index    int
	from, to int // in scratch
}

// duplicates returns the indexes of two items that are equal.
func (c *checker) duplicates(at uint32) (int, int, bool) {
	v := c.values[at]
	// The forms, and sorting them.
	if !c.spend(c.formWork(at) + 8*int(v.count)) {
		return 0, 0, false
	}
	scratch, marks := len(c.scratch), len(c.marks)
	defer func() { c.scratch, c.marks = c.scratch[:scratch], c.marks[:marks] }()
	for i, item := 0, at+1; i < int(v.count); i, item = i+1, c.values[item].next {
		from := len(c.scratch)
		c.scratch = c.form(c.scratch, item)
		c.marks = append(c.marks, mark{maphash.Bytes(c.document.seed, c.scratch[from:]), i, from, len(c.scratch)})
	}
	list := c.marks[marks:]
	slices.SortFunc(list, func(a, b mark) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return a.index - b.index
	})
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if a.hash == b.hash && bytes.Equal(c.scratch[a.from:a.to], c.scratch[b.from:b.to]) {
			return a.index, b.index, true
		}
	}
	return 0, 0, false
}
