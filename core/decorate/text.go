package decorate

import (
	"bytes"
	"hash/maphash"
	"slices"
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

// name of a member, by its hash.
type name struct {
	hash uint64
	at   uint32
}

// fewNames is up to how many names are compared each with each.
const fewNames = 8

// unique refuses an object in which a name stands twice.
func (d *document) unique(at uint32) error {
	count := int(d.values[at].count)
	if count < 2 {
		return nil
	}
	d.names = d.names[:0]
	for n, key := 0, at+1; n < count; n, key = n+1, d.values[key+1].next {
		entry := name{at: key}
		if count > fewNames {
			entry.hash = maphash.Bytes(d.seed, d.text(key))
		}
		d.names = append(d.names, entry)
	}
	if count <= fewNames {
		for i, a := range d.names {
			for _, b := range d.names[:i] {
				if d.sameText(a.at, b.at) {
					return d.twice(a.at)
				}
			}
		}
		return nil
	}
	slices.SortFunc(d.names, func(a, b name) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return 0
	})
	for i := 1; i < count; i++ {
		// Names with one hash are one name: the seed is random.
		if d.names[i].hash == d.names[i-1].hash && d.sameText(d.names[i].at, d.names[i-1].at) {
			return d.twice(d.names[i].at)
		}
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
