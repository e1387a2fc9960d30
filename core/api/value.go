package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// JSON values cross the binary API as google.protobuf.Value. Made into objects
// of Go, a value of some megabytes takes hundreds; so it is translated from one
// encoding to the other and never made.

// Field numbers of google/protobuf/struct.proto.
const (
	valueNull   protowire.Number = 1
	valueNumber protowire.Number = 2
	valueString protowire.Number = 3
	valueBool   protowire.Number = 4
	valueStruct protowire.Number = 5
	valueList   protowire.Number = 6

	structField protowire.Number = 1
	listItem    protowire.Number = 1
	entryKey    protowire.Number = 1
	entryValue  protowire.Number = 2
)

// maxDepth bounds how deep values are nested, as encoding/json and protobuf do.
const maxDepth = 10_000

var (
	errDepth    = fmt.Errorf("it is nested deeper than %d", maxDepth)
	errTooLong  = errors.New("it is too long")
	errNoNumber = errors.New("it holds a number that JSON cannot express")
	errUTF8     = errors.New("it holds a text that is not valid UTF-8")
)

// jsonOf returns the JSON of an encoded google.protobuf.Value. errTooLong if it
// has more than limit bytes.
func jsonOf(value []byte, limit uint64) ([]byte, error) {
	w := &jsonWriter{limit: limit, text: make([]byte, 0, min(len(value), int(min(limit, math.MaxInt32))))}
	if err := w.value(value, 0); err != nil {
		return nil, err
	}
	return w.text, nil
}

type jsonWriter struct {
	text  []byte
	limit uint64
}

// value writes one value. If it has several kinds, the last one counts, as in
// every oneof.
func (w *jsonWriter) value(b []byte, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	if uint64(len(w.text)) > w.limit {
		return errTooLong
	}
	kind, body, number := valueNull, []byte(nil), uint64(0)
	err := fields(b, func(n protowire.Number, t protowire.Type, bytes []byte, v uint64) error {
		if n < valueNull || n > valueList {
			return nil
		}
		want := protowire.BytesType
		switch n {
		case valueNull, valueBool:
			want = protowire.VarintType
		case valueNumber:
			want = protowire.Fixed64Type
		}
		if t == want {
			kind, body, number = n, bytes, v
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch kind {
	case valueNumber:
		return w.number(math.Float64frombits(number))
	case valueString:
		return w.string(body)
	case valueBool:
		w.text = strconv.AppendBool(w.text, number != 0)
	case valueStruct:
		return w.object(body, depth)
	case valueList:
		return w.list(body, depth)
	default:
		w.text = append(w.text, "null"...)
	}
	return nil
}

func (w *jsonWriter) number(f float64) error {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return errNoNumber
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e' // as encoding/json does
	}
	w.text = strconv.AppendFloat(w.text, f, format, -1, 64)
	return nil
}

func (w *jsonWriter) string(s []byte) error {
	if uint64(len(w.text)+len(s)) > w.limit {
		return errTooLong
	}
	if plain(s) {
		w.text = append(append(append(w.text, '"'), s...), '"')
		return nil
	}
	if !utf8.Valid(s) {
		return errUTF8
	}
	b, err := json.Marshal(string(s))
	w.text = append(w.text, b...)
	return err
}

// plain reports whether a text stands in JSON as it is.
func plain(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (w *jsonWriter) object(b []byte, depth int) error {
	w.text = append(w.text, '{')
	first := true
	err := messages(b, structField, func(entry []byte) error {
		var key, value []byte
		err := fields(entry, func(n protowire.Number, t protowire.Type, bytes []byte, _ uint64) error {
			switch {
			case t != protowire.BytesType:
			case n == entryKey:
				key = bytes
			case n == entryValue:
				value = bytes
			}
			return nil
		})
		if err != nil {
			return err
		}
		w.comma(&first)
		if err := w.string(key); err != nil {
			return err
		}
		w.text = append(w.text, ':')
		return w.value(value, depth+1)
	})
	w.text = append(w.text, '}')
	return err
}

func (w *jsonWriter) list(b []byte, depth int) error {
	w.text = append(w.text, '[')
	first := true
	err := messages(b, listItem, func(item []byte) error {
		w.comma(&first)
		return w.value(item, depth+1)
	})
	w.text = append(w.text, ']')
	return err
}

func (w *jsonWriter) comma(first *bool) {
	if !*first {
		w.text = append(w.text, ',')
	}
	*first = false
}

// messages calls visit with each message in a repeated field.
func messages(b []byte, number protowire.Number, visit func([]byte) error) error {
	return fields(b, func(n protowire.Number, t protowire.Type, bytes []byte, _ uint64) error {
		if n != number || t != protowire.BytesType {
			return nil
		}
		return visit(bytes)
	})
}

// fields calls visit with each field of a message: with its bytes, or with its
// number.
func fields(b []byte, visit func(n protowire.Number, t protowire.Type, bytes []byte, v uint64) error) error {
	for len(b) > 0 {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		var bytes []byte
		var v uint64
		switch t {
		case protowire.BytesType:
			bytes, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			v, size = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v, size = protowire.ConsumeFixed64(b)
		default:
			size = protowire.ConsumeFieldValue(n, t, b)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := visit(n, t, bytes, v); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// valueOf returns the encoded google.protobuf.Value of one JSON value.
func valueOf(text []byte) ([]byte, error) {
	if !json.Valid(text) || !utf8.Valid(text) {
		return nil, errors.New("it is not a JSON value")
	}
	w := &valueWriter{text: text, b: make([]byte, 0, 2*len(text)+16)}
	if err := w.value(0); err != nil {
		return nil, err
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
			return errDepth
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
	from := w.at
	for w.at < len(w.text) && bytes.IndexByte([]byte("+-.0123456789eE"), w.text[w.at]) >= 0 {
		w.at++
	}
	f, err := strconv.ParseFloat(string(w.text[from:w.at]), 64)
	if err != nil {
		return errNoNumber // of a double's range
	}
	w.b = protowire.AppendTag(w.b, valueNumber, protowire.Fixed64Type)
	w.b = protowire.AppendFixed64(w.b, math.Float64bits(f))
	return nil
}

// string reads a string.
func (w *valueWriter) string() ([]byte, error) {
	size := stringSize(w.text[w.at:])
	quoted := w.text[w.at : w.at+size]
	w.at += size
	if s := quoted[1 : size-1]; bytes.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var s string
	err := json.Unmarshal(quoted, &s)
	return []byte(s), err
}

// stringSize returns the length of the string that text begins with, quotes
// included, or of text if it does not end.
func stringSize(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(text)
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
	case c == '[' || c == '{', c == '"' && stringSize(w.text[w.at:]) > 100:
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

// base64Bytes reads base64 as protobuf's JSON has it: of either alphabet, with
// or without padding.
func base64Bytes(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if strings.ContainsAny(s, "-_") {
		return base64.RawURLEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}
