package input

import (
	"bytes"
	"hash/maphash"
	"slices"
	"strconv"
)

// Form returns the canonical form of a value. Two values have the same form if
// and only if they are equal; 1, 1.0 and 10e-1 are equal. The form is valid
// until the next call.
func (d *Document) Form(at uint32) []byte {
	d.forms = d.form(d.forms[:0], at)
	return d.forms
}

// FormWork returns what the canonical form of a value costs.
func (d *Document) FormWork(at uint32) int {
	v := &d.values[at]
	return 2 + int(v.to-v.from)/8 + 8*int(v.next-at)
}

// form appends the canonical form of a value.
func (d *Document) form(b []byte, at uint32) []byte {
	v := &d.values[at]
	switch v.kind {
	case Null:
		return append(b, 'n')
	case False:
		return append(b, 'f')
	case True:
		return append(b, 't')
	case Number:
		var scratch Digits
		n := ParseDecimal(d.raw[v.from:v.to], &scratch)
		if n.negative {
			b = append(b, '-')
		}
		b = append(append(b, '#'), n.digits...)
		return append(strconv.AppendInt(append(b, 'e'), int64(n.exp), 10), ';')
	case Array:
		b = append(strconv.AppendUint(append(b, 'a'), uint64(v.count), 10), ':')
		for i, item := uint32(0), at+1; i < v.count; i, item = i+1, d.values[item].next {
			b = d.form(b, item)
		}
		return b
	case Object:
		b = append(strconv.AppendUint(append(b, 'o'), uint64(v.count), 10), ':')
		keys := make([]memberName, 0, v.count)
		for i, key := uint32(0), at+1; i < v.count; i, key = i+1, d.values[key+1].next {
			keys = append(keys, memberName{d.Text(key), key})
		}
		slices.SortFunc(keys, func(x, y memberName) int { return bytes.Compare(x.text, y.text) })
		for _, key := range keys {
			b = d.form(appendText(b, key.text), key.at+1)
		}
		return b
	}
	return appendText(b, d.Text(at))
}

func appendText(b, text []byte) []byte {
	b = append(strconv.AppendInt(append(b, 's'), int64(len(text)), 10), ':')
	return append(b, text...)
}

type memberName struct {
	text []byte
	at   uint32
}

// item is an item of an array, with the hash of its canonical form.
type item struct {
	hash     uint64
	index    int
	from, to int // in forms
}

// Duplicates returns the indexes of two equal items, if there are any.
func (d *Document) Duplicates(at uint32) (first, second int, found bool) {
	d.forms, d.items = d.forms[:0], d.items[:0]
	for i, v := 0, at+1; i < d.Count(at); i, v = i+1, d.Next(v) {
		from := len(d.forms)
		d.forms = d.form(d.forms, v)
		d.items = append(d.items, item{maphash.Bytes(d.seed, d.forms[from:]), i, from, len(d.forms)})
	}
	slices.SortFunc(d.items, func(a, b item) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return a.index - b.index
	})
	for i := 1; i < len(d.items); i++ {
		a, b := d.items[i-1], d.items[i]
		if a.hash == b.hash && bytes.Equal(d.forms[a.from:a.to], d.forms[b.from:b.to]) {
			return a.index, b.index, true
		}
	}
	return 0, 0, false
}

// DuplicatesWork returns what Duplicates costs: making the forms and sorting
// them.
func (d *Document) DuplicatesWork(at uint32) int { return d.FormWork(at) + 8*d.Count(at) }
