package decorate

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// text returns the text of a string; do not change it.
func (d *document) text(at uint32) []byte {
	v := &d.values[at]
	raw := d.raw[v.from:v.to]
	if v.kind != kindEscaped {
		return raw
	}
	return unescape(make([]byte, 0, len(raw)), raw, 3*len(raw))
}

// unescape appends the text of a string that has been read, until b has most bytes
// or more. Like encoding/json it puts U+FFFD for what is not UTF-8 and for halves
// of surrogate pairs.
func unescape(b, raw []byte, most int) []byte {
	for i := 0; i < len(raw) && len(b) < most; {
		switch c := raw[i]; {
		case c == '\\' && raw[i+1] == 'u':
			r := hex4(raw[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+1 < len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
					low = hex4(raw[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, r)
		case c == '\\':
			b = append(b, plainEscape(raw[i+1]))
			i += 2
		case c < utf8.RuneSelf:
			b = append(b, c)
			i++
		default:
			r, n := utf8.DecodeRune(raw[i:])
			b = utf8.AppendRune(b, r)
			i += n
		}
	}
	return b
}

func plainEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c <= '9':
			c -= '0'
		case c <= 'F':
			c -= 'A' - 10
		default:
			c -= 'a' - 10
		}
		r = r<<4 | rune(c)
	}
	return r
}

// slot of a table of names.
type slot struct {
	hash uint32
	at   uint32 // 0: empty, as the first entry is never a name
}

// fewNames is up to how many names are compared each with each.
const fewNames = 8

// unique refuses an object in which a name stands twice.
func (d *document) unique(at uint32) error {
	count := int(d.values[at].count)
	if count > fewNames {
		return d.uniqueOfMany(at, count)
	}
	var keys [fewNames]uint32
	for n, key := 0, at+1; n < count; n, key = n+1, d.values[key+1].next {
		for _, other := range keys[:n] {
			if d.sameText(key, other) {
				return d.twice(key)
			}
		}
		keys[n] = key
	}
	return nil
}

// uniqueOfMany looks each name up in a table of those before it. The seed of the
// hash is random, so nobody can choose names that collide.
func (d *document) uniqueOfMany(at uint32, count int) error {
	size := 1 << bits.Len(uint(2*count))
	if cap(d.table) < size {
		d.table = make([]slot, size)
	}
	table := d.table[:size]
	clear(table)
	for n, key := 0, at+1; n < count; n, key = n+1, d.values[key+1].next {
		hash := uint32(maphash.Bytes(d.seed, d.text(key)))
		i := int(hash) & (size - 1)
		for ; table[i].at != 0; i = (i + 1) & (size - 1) {
			if table[i].hash == hash && d.sameText(table[i].at, key) {
				return d.twice(key)
			}
		}
		table[i] = slot{hash, key}
	}
	return nil
}

func (d *document) sameText(a, b uint32) bool {
	v, w := d.values[a], d.values[b]
	if v.kind == kindString && w.kind == kindString && v.to-v.from != w.to-w.from {
		return false
	}
	return bytes.Equal(d.text(a), d.text(b))
}

func (d *document) twice(at uint32) error {
	return &inputError{text: "stands more than once in its object", field: d.where(append(d.path, memberStep(at))), limit: "1", actual: "2"}
}
