package decorate

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"unicode/utf8"
)

// Bounds of an input that has to pass a schema. Inputs of services without one
// are not read by a core at all.
const (
	// maxInputDepth is how deep arrays and objects may nest.
	maxInputDepth = 256
	// maxInputValues bounds the values in an input, names among them: at 20
	// bytes each, 10 MB of memory.
	maxInputValues = 500_000
)

// kind of a value. A string whose bytes are not its text, because of escapes or
// broken UTF-8, is kindEscaped.
type kind uint8

const (
	kindNull kind = iota
	kindFalse
	kindTrue
	kindNumber
	kindString
	kindEscaped
	kindArray
	kindObject
)

// value is one entry of a document: the values of an input in the order in which
// they stand there. The name of a member is an entry of its own, before its value.
type value struct {
	kind kind
	// count of items or members.
	count uint32
	// from and to are where it stands in the input: a string without its quotes.
	from, to uint32
	// next is the index of the entry behind it and all that is in it.
	next uint32
}

// document is an input that has been read.
type document struct {
	raw    []byte
	values []value
	path   []step
	depth  int
	pos    int
	table  []slot
	seed   maphash.Seed
	ctx    context.Context
}

// step is one part of a path: an item's index, or the complement of the index
// of a member's name.
type step int64

func itemStep(i int) step       { return step(i) }
func memberStep(at uint32) step { return ^step(at) }

// inputError says what is wrong with an input before any schema sees it.
type inputError struct {
	text          string
	field         string // the path, if it is about one value
	limit, actual string // empty if it is about syntax
}

func (e *inputError) Error() string { return e.text }

func syntaxError(format string, args ...any) error {
	return &inputError{text: fmt.Sprintf(format, args...)}
}

func (d *document) limitError(text string, limit, actual int) error {
	return &inputError{text: text, field: d.where(d.path), limit: fmt.Sprint(limit), actual: fmt.Sprint(actual)}
}

// read reads one JSON value with nothing behind it. What it accepts, encoding/json
// accepts with the same value; it refuses more: names that stand twice in an object,
// of which the guest may read another one than the schema, and what is over a bound.
func (d *document) read(ctx context.Context, raw []byte) error {
	d.raw, d.pos, d.depth, d.ctx = raw, 0, 0, ctx
	d.values, d.path = d.values[:0], d.path[:0]
	if uint64(len(raw)) > math.MaxUint32 {
		return d.limitError("it is too large to be checked", math.MaxUint32, len(raw))
	}
	if len(raw) > 64<<10 {
		// One allocation of the right size: growing would cost five times as much.
		// Commas and colons in strings only make it a little too large.
		most := bytes.Count(raw, []byte{','}) + bytes.Count(raw, []byte{':'}) + bytes.Count(raw, []byte{'['}) + bytes.Count(raw, []byte{'{'}) + 1
		d.values = slices.Grow(d.values, min(most, maxInputValues))
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

// work is what reading the document has cost.
func (d *document) work() int { return len(d.values) + len(d.raw)/16 }

func (d *document) space() {
	for d.pos < len(d.raw) {
		switch d.raw[d.pos] {
		case ' ', '\n', '\t', '\r':
			d.pos++
		default:
			return
		}
	}
}

// unexpected is the error for the byte at pos.
func (d *document) unexpected(where string) error {
	if d.pos >= len(d.raw) {
		return syntaxError("it ends in the middle, after %d bytes", len(d.raw))
	}
	return syntaxError("invalid character %q %s at byte %d", rune(d.raw[d.pos]), where, d.pos+1)
}

// add appends an entry that begins at pos and returns its index.
func (d *document) add(k kind) (uint32, error) {
	n := len(d.values)
	if n >= maxInputValues {
		return 0, &inputError{text: fmt.Sprintf("it has more than %d values, which is the limit", maxInputValues), limit: fmt.Sprint(maxInputValues), actual: fmt.Sprintf("over %d", maxInputValues)}
	}
	if n%4096 == 4095 {
		if err := d.ctx.Err(); err != nil {
			return 0, err
		}
	}
	d.values = append(d.values, value{kind: k, from: uint32(d.pos), next: uint32(n + 1)})
	return uint32(n), nil
}

func (d *document) value() error {
	if d.pos >= len(d.raw) {
		return d.unexpected("")
	}
	switch c := d.raw[d.pos]; c {
	case '{', '[':
		if d.depth++; d.depth > maxInputDepth {
			return d.limitError(fmt.Sprintf("it nests more than %d deep, which is the limit", maxInputDepth), maxInputDepth, d.depth)
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
		return d.word(kindTrue, "true")
	case 'f':
		return d.word(kindFalse, "false")
	case 'n':
		return d.word(kindNull, "null")
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return d.number()
		}
	}
	return d.unexpected("looking for a value")
}

func (d *document) word(k kind, word string) error {
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
func (d *document) close(at uint32, count int) {
	d.pos++
	v := &d.values[at]
	v.count, v.to, v.next = uint32(count), uint32(d.pos), uint32(len(d.values))
}

// comma reads what stands between two items or members and reports whether
// the end was reached.
func (d *document) comma(end byte, where string) (ended bool, err error) {
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

func (d *document) array() error {
	at, err := d.add(kindArray)
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
		d.path = append(d.path, itemStep(count))
		if err := d.value(); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
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

func (d *document) object() error {
	at, err := d.add(kindObject)
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
		d.path = append(d.path, memberStep(name))
		if err := d.value(); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
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

func (d *document) string() error {
	at, err := d.add(kindString)
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
				v.kind = kindEscaped
			}
			d.pos++
			return nil
		case c == '\\':
			d.values[at].kind = kindEscaped
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

// escape reads an escape up to its last byte.
func (d *document) escape() error {
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

func (d *document) number() error {
	at, err := d.add(kindNumber)
	if err != nil {
		return err
	}
	from := d.pos
	if d.raw[d.pos] == '-' {
		d.pos++
	}
	if d.pos < len(d.raw) && d.raw[d.pos] == '0' {
		d.pos++
	} else if err := d.digits(); err != nil {
		return err
	}
	if d.pos < len(d.raw) && d.raw[d.pos] == '.' {
		d.pos++
		if err := d.digits(); err != nil {
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
		if err := d.digits(); err != nil {
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

func (d *document) digits() error {
	from := d.pos
	for d.pos < len(d.raw) && '0' <= d.raw[d.pos] && d.raw[d.pos] <= '9' {
		d.pos++
	}
	if d.pos == from {
		return d.unexpected("in a number")
	}
	return nil
}
