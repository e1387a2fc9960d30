package input

import (
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns the text of a string. Do not change it.
func (d *Document) Text(at uint32) []byte {
	v := &d.values[at]
	raw := d.raw[v.from:v.to]
	if !v.escaped {
		return raw
	}
	return unescape(make([]byte, 0, len(raw)), raw, 3*len(raw))
}

// Escaped reports whether the text of a string is not its bytes in the input,
// because of escapes or broken UTF-8.
func (d *Document) Escaped(at uint32) bool { return d.values[at].escaped }

// TextWork returns what calling [Document.Text] and comparing the text cost.
func (d *Document) TextWork(at uint32) int {
	v := &d.values[at]
	if v.escaped {
		return 4 + int(v.to-v.from)/4
	}
	return int(v.to-v.from) / 32
}

// unescape appends the text of a string that has been read, until b has limit
// bytes or more. Like encoding/json, it replaces invalid UTF-8 and unpaired
// surrogates with U+FFFD.
func unescape(b, raw []byte, limit int) []byte {
	for i := 0; i < len(raw) && len(b) < limit; {
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
