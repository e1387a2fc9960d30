package input

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// Read reads exactly one JSON value. It stops when ctx ends. The error is an
// [*Error] or ctx's error. The document refers to raw until it is released.
func (d *Document) Read(ctx context.Context, raw []byte) error {
	d.raw, d.pos, d.depth, d.ctx = raw, 0, 0, ctx
	d.values, d.path = d.values[:0], d.path[:0]
	if uint64(len(raw)) > math.MaxUint32 {
		return d.limitError("it is too large to be checked", math.MaxUint32, len(raw))
	}
	if len(raw) > 64<<10 {
		// One allocation of the right size: growing would cost five times as
		// much. Commas and colons in strings make it too large, which does no
		// harm.
		entries := bytes.Count(raw, []byte{','}) + bytes.Count(raw, []byte{':'}) + bytes.Count(raw, []byte{'['}) + bytes.Count(raw, []byte{'{'}) + 1
		d.values = slices.Grow(d.values, min(entries, maxValues))
	}
	d.space()
	if d.pos == len(raw) {
		return syntaxError("it is empty")
	}
	if err := d.value(); err != nil {
		return err
	}
	d.space()
	if d.pos < len(raw) {
		return syntaxError("something follows the value at byte %d", d.pos)
	}
	return nil
}

func (d *Document) space() {
	for d.pos < len(d.raw) {
		switch d.raw[d.pos] {
		case ' ', '\n', '\t', '\r':
			d.pos++
		default:
			return
		}
	}
}

// unexpected returns the error for the byte at pos.
func (d *Document) unexpected(where string) error {
	if d.pos >= len(d.raw) {
		return syntaxError("it ends in the middle, after %d bytes", len(d.raw))
	}
	return syntaxError("invalid character %q %s at byte %d", rune(d.raw[d.pos]), where, d.pos+1)
}

// add appends an entry that begins at pos and returns its index.
func (d *Document) add(k Kind) (uint32, error) {
	n := len(d.values)
	if n >= maxValues {
		return 0, &Error{Text: fmt.Sprintf("it has more than %d values, which is the limit", maxValues), Limit: fmt.Sprint(maxValues), Actual: fmt.Sprintf("over %d", maxValues)}
	}
	if n%4096 == 4095 {
		if err := d.ctx.Err(); err != nil {
			return 0, err
		}
	}
	d.values = append(d.values, value{kind: k, from: uint32(d.pos), next: uint32(n + 1)})
	return uint32(n), nil
}

func (d *Document) value() error {
	if d.pos >= len(d.raw) {
		return d.unexpected("")
	}
	switch c := d.raw[d.pos]; c {
	case '{', '[':
		if d.depth++; d.depth > maxDepth {
			return d.limitError(fmt.Sprintf("it nests more than %d deep, which is the limit", maxDepth), maxDepth, d.depth)
		}
		var err error
		if c == '{' {
			err = d.object()
		} else {
			err = d.array()
		}
		d.depth--
		return err
	case '"':
		return d.string()
	case 't':
		return d.word(True, "true")
	case 'f':
		return d.word(False, "false")
	case 'n':
		return d.word(Null, "null")
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return d.number()
		}
	}
	return d.unexpected("looking for a value")
}

func (d *Document) word(k Kind, word string) error {
	at, err := d.add(k)
	if err != nil {
		return err
	}
	for i := range len(word) {
		if d.pos >= len(d.raw) || d.raw[d.pos] != word[i] {
			return d.unexpected("in " + word)
		}
		d.pos++
	}
	d.values[at].to = uint32(d.pos)
	return nil
}

// close ends an array or an object.
func (d *Document) close(at uint32, count int) {
	d.pos++
	v := &d.values[at]
	v.count, v.to, v.next = uint32(count), uint32(d.pos), uint32(len(d.values))
}

// comma reads what follows an item or a member, up to the next one, and reports
// whether the end was reached.
func (d *Document) comma(end byte, where string) (ended bool, err error) {
	d.space()
	if d.pos < len(d.raw) {
		switch d.raw[d.pos] {
		case ',':
			d.pos++
			d.space()
			return false, nil
		case end:
			return true, nil
		}
	}
	return false, d.unexpected(where)
}

func (d *Document) array() error {
	at, err := d.add(Array)
	if err != nil {
		return err
	}
	d.pos++
	d.space()
	count := 0
	if d.pos < len(d.raw) && d.raw[d.pos] == ']' {
		d.close(at, 0)
		return nil
	}
	for {
		d.Enter(Item(count))
		if err := d.value(); err != nil {
			return err
		}
		d.Leave()
		count++
		ended, err := d.comma(']', "after an item")
		if err != nil {
			return err
		}
		if ended {
			d.close(at, count)
			return nil
		}
	}
}

func (d *Document) object() error {
	at, err := d.add(Object)
	if err != nil {
		return err
	}
	d.pos++
	d.space()
	count := 0
	if d.pos < len(d.raw) && d.raw[d.pos] == '}' {
		d.close(at, 0)
		return nil
	}
	for {
		if d.pos >= len(d.raw) || d.raw[d.pos] != '"' {
			return d.unexpected("looking for a name")
		}
		name := uint32(len(d.values))
		if err := d.string(); err != nil {
			return err
		}
		d.space()
		if d.pos >= len(d.raw) || d.raw[d.pos] != ':' {
			return d.unexpected("after a name")
		}
		d.pos++
		d.space()
		d.Enter(Member(name))
		if err := d.value(); err != nil {
			return err
		}
		d.Leave()
		count++
		ended, err := d.comma('}', "after a member")
		if err != nil {
			return err
		}
		if ended {
			d.close(at, count)
			return d.unique(at)
		}
	}
}

func (d *Document) string() error {
	at, err := d.add(String)
	if err != nil {
		return err
	}
	d.pos++
	from := d.pos
	ascii := true
	for ; d.pos < len(d.raw); d.pos++ {
		switch c := d.raw[d.pos]; {
		case c == '"':
			v := &d.values[at]
			v.from, v.to = uint32(from), uint32(d.pos)
			if !ascii && !utf8.Valid(d.raw[from:d.pos]) {
				v.escaped = true
			}
			d.pos++
			return nil
		case c == '\\':
			d.values[at].escaped = true
			if err := d.escape(); err != nil {
				return err
			}
		case c < ' ':
			return d.unexpected("in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return d.unexpected("")
}

// escape reads an escape and leaves pos at its last byte.
func (d *Document) escape() error {
	d.pos++
	if d.pos >= len(d.raw) {
		return d.unexpected("")
	}
	switch d.raw[d.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			d.pos++
			if d.pos >= len(d.raw) {
				return d.unexpected("")
			}
			c := d.raw[d.pos]
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return d.unexpected("in an escape")
			}
		}
		return nil
	}
	return d.unexpected("in an escape")
}

func (d *Document) number() error {
	at, err := d.add(Number)
	if err != nil {
		return err
	}
	from := d.pos
	if d.raw[d.pos] == '-' {
		d.pos++
	}
	if d.pos < len(d.raw) && d.raw[d.pos] == '0' {
		d.pos++
	} else if err := d.someDigits(); err != nil {
		return err
	}
	if d.pos < len(d.raw) && d.raw[d.pos] == '.' {
		d.pos++
		if err := d.someDigits(); err != nil {
			return err
		}
	}
	exponent := false
	if d.pos < len(d.raw) && d.raw[d.pos]|0x20 == 'e' {
		exponent = true
		d.pos++
		if d.pos < len(d.raw) && (d.raw[d.pos] == '+' || d.raw[d.pos] == '-') {
			d.pos++
		}
		if err := d.someDigits(); err != nil {
			return err
		}
	}
	d.values[at].to = uint32(d.pos)
	if exponent || d.pos-from > maxDigits {
		if text, limit, actual := admitNumber(d.raw[from:d.pos]); text != "" {
			return d.limitError(text, limit, actual)
		}
	}
	return nil
}

// someDigits reads at least one digit.
func (d *Document) someDigits() error {
	from := d.pos
	for d.pos < len(d.raw) && '0' <= d.raw[d.pos] && d.raw[d.pos] <= '9' {
		d.pos++
	}
	if d.pos == from {
		return d.unexpected("in a number")
	}
	return nil
}
