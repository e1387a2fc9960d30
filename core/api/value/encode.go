package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Append appends a field whose message is the google.protobuf.Value of one JSON
// value. Where it fails, b is as it was.
func Append(b []byte, number protowire.Number, text []byte) ([]byte, error) {
	if !json.Valid(text) || !utf8.Valid(text) {
		return b, errors.New("it is not a JSON value")
	}
	// Numbers grow most, to 11 bytes for each of a list.
	w := &valueWriter{text: text, b: slices.Grow(b, len(text)+11*(bytes.Count(text, []byte(","))+1)+32)}
	if err := w.long(number, func() error { return w.value(0) }); err != nil {
		return b, err
	}
	return w.b, nil
}

// valueWriter reads text, which is valid JSON, and writes the value of it.
type valueWriter struct {
	text []byte
	at   int
	b    []byte
}

// next skips white space and returns the byte that follows.
func (w *valueWriter) next() byte {
	for {
		switch c := w.text[w.at]; c {
		case ' ', '\t', '\n', '\r':
			w.at++
		default:
			return c
		}
	}
}

// value appends the next value.
func (w *valueWriter) value(depth int) error {
	switch c := w.next(); c {
	case 'n':
		w.at += len("null")
		w.b = protowire.AppendTag(w.b, valueNull, protowire.VarintType)
		w.b = protowire.AppendVarint(w.b, 0)
	case 't', 'f':
		w.at += len("true")
		if c == 'f' {
			w.at++
		}
		w.b = protowire.AppendTag(w.b, valueBool, protowire.VarintType)
		w.b = protowire.AppendVarint(w.b, protowire.EncodeBool(c == 't'))
	case '"':
		s, err := w.string()
		if err != nil {
			return err
		}
		w.b = protowire.AppendTag(w.b, valueString, protowire.BytesType)
		w.b = protowire.AppendBytes(w.b, s)
	case '[', '{':
		if depth == maxDepth {
			return ErrDepth
		}
		w.at++
		if c == '[' {
			return w.long(valueList, func() error { return w.list(depth + 1) })
		}
		return w.long(valueStruct, func() error { return w.object(depth + 1) })
	default:
		return w.number()
	}
	return nil
}

func (w *valueWriter) number() error {
	from, whole := w.at, uint64(0)
	for ; w.at < len(w.text); w.at++ {
		c := w.text[w.at] - '0'
		if c > 9 {
			break
		}
		whole = whole*10 + uint64(c)
	}
	f := float64(whole)
	if w.at == from || w.at-from > maxExact || w.at < len(w.text) && inNumber(w.text[w.at]) {
		for w.at < len(w.text) && inNumber(w.text[w.at]) {
			w.at++
		}
		var err error
		if f, err = strconv.ParseFloat(string(w.text[from:w.at]), 64); err != nil {
			return ErrNumber // of a double's range
		}
	}
	w.b = protowire.AppendTag(w.b, valueNumber, protowire.Fixed64Type)
	w.b = protowire.AppendFixed64(w.b, math.Float64bits(f))
	return nil
}

// maxExact is how many decimal digits a double holds exactly, whatever they are.
const maxExact = 15

func inNumber(c byte) bool {
	switch c {
	case '+', '-', '.', 'e', 'E':
		return true
	}
	return '0' <= c && c <= '9'
}

// string reads a string.
func (w *valueWriter) string() ([]byte, error) {
	size := StringSize(w.text[w.at:])
	quoted := w.text[w.at : w.at+size]
	w.at += size
	if s := quoted[1 : size-1]; bytes.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var s string
	err := json.Unmarshal(quoted, &s)
	return []byte(s), err
}

func (w *valueWriter) list(depth int) error {
	for {
		switch w.next() {
		case ']':
			w.at++
			return nil
		case ',':
			w.at++
		default:
			if err := w.field(listItem, depth); err != nil {
				return err
			}
		}
	}
}

func (w *valueWriter) object(depth int) error {
	for {
		switch w.next() {
		case '}':
			w.at++
			return nil
		case ',':
			w.at++
		default:
			if err := w.long(structField, func() error { return w.entry(depth) }); err != nil {
				return err
			}
		}
	}
}

func (w *valueWriter) entry(depth int) error {
	name, err := w.string()
	if err != nil {
		return err
	}
	w.b = protowire.AppendTag(w.b, entryKey, protowire.BytesType)
	w.b = protowire.AppendBytes(w.b, name)
	w.next()
	w.at++ // the colon
	return w.field(entryValue, depth)
}

// field appends the next value as a field of a message.
func (w *valueWriter) field(n protowire.Number, depth int) error {
	switch c := w.next(); {
	case c == '[' || c == '{', c == '"' && StringSize(w.text[w.at:]) > 100:
		return w.long(n, func() error { return w.value(depth) })
	}
	// What is left takes less than 128 bytes, so one byte holds its length.
	w.b = protowire.AppendTag(w.b, n, protowire.BytesType)
	at := len(w.b)
	w.b = append(w.b, 0)
	if err := w.value(depth); err != nil {
		return err
	}
	w.b[at] = byte(len(w.b) - at - 1)
	return nil
}

// long appends a message whose length is known only afterwards. The length
// takes five bytes, however small it is, so that nothing has to be moved: every
// reader of protobuf takes a varint that is longer than it need be.
func (w *valueWriter) long(n protowire.Number, body func() error) error {
	w.b = protowire.AppendTag(w.b, n, protowire.BytesType)
	at := len(w.b)
	w.b = append(w.b, 0x80, 0x80, 0x80, 0x80, 0)
	if err := body(); err != nil {
		return err
	}
	for i, size := 0, len(w.b)-at-5; i < 5; i++ {
		w.b[at+i] |= byte(size & 0x7f)
		size >>= 7
	}
	return nil
}
