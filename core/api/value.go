package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	w := &jsonWriter{limit: limit}
	w.text.Grow(min(len(value), int(min(limit, math.MaxInt32))))
	if err := w.value(value, 0); err != nil {
		return nil, err
	}
	return w.text.Bytes(), nil
}

type jsonWriter struct {
	text  bytes.Buffer
	limit uint64
}

// value writes one value. If it has several kinds, the last one counts, as in
// every oneof.
func (w *jsonWriter) value(b []byte, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	if uint64(w.text.Len()) > w.limit {
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
		w.text.WriteString(strconv.FormatBool(number != 0))
	case valueStruct:
		return w.object(body, depth)
	case valueList:
		return w.list(body, depth)
	default:
		w.text.WriteString("null")
	}
	return nil
}

func (w *jsonWriter) number(f float64) error {
	b, err := json.Marshal(f)
	if err != nil {
		return errNoNumber
	}
	w.text.Write(b)
	return nil
}

func (w *jsonWriter) string(s []byte) error {
	if !utf8.Valid(s) {
		return errUTF8
	}
	if uint64(w.text.Len()+len(s)) > w.limit {
		return errTooLong
	}
	b, err := json.Marshal(string(s))
	w.text.Write(b)
	return err
}

func (w *jsonWriter) object(b []byte, depth int) error {
	w.text.WriteByte('{')
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
		w.text.WriteByte(':')
		return w.value(value, depth+1)
	})
	w.text.WriteByte('}')
	return err
}

func (w *jsonWriter) list(b []byte, depth int) error {
	w.text.WriteByte('[')
	first := true
	err := messages(b, listItem, func(item []byte) error {
		w.comma(&first)
		return w.value(item, depth+1)
	})
	w.text.WriteByte(']')
	return err
}

func (w *jsonWriter) comma(first *bool) {
	if !*first {
		w.text.WriteByte(',')
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
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	w := &valueWriter{dec: dec, b: make([]byte, 0, len(text)+len(text)/2)}
	t, err := dec.Token()
	if err == nil {
		err = w.value(t, 0)
	}
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	return w.b, nil
}

type valueWriter struct {
	dec *json.Decoder
	b   []byte
}

// value appends the value that begins with token t.
func (w *valueWriter) value(t json.Token, depth int) error {
	switch t := t.(type) {
	case nil:
		w.b = protowire.AppendTag(w.b, valueNull, protowire.VarintType)
		w.b = protowire.AppendVarint(w.b, 0)
	case bool:
		w.b = protowire.AppendTag(w.b, valueBool, protowire.VarintType)
		w.b = protowire.AppendVarint(w.b, protowire.EncodeBool(t))
	case json.Number:
		f, err := strconv.ParseFloat(t.String(), 64)
		if err != nil {
			return errNoNumber // of a double's range
		}
		w.b = protowire.AppendTag(w.b, valueNumber, protowire.Fixed64Type)
		w.b = protowire.AppendFixed64(w.b, math.Float64bits(f))
	case string:
		w.b = protowire.AppendTag(w.b, valueString, protowire.BytesType)
		w.b = protowire.AppendString(w.b, t)
	case json.Delim:
		if depth == maxDepth {
			return errDepth
		}
		if t == '[' {
			return w.long(valueList, func() error { return w.list(depth + 1) })
		}
		return w.long(valueStruct, func() error { return w.object(depth + 1) })
	}
	return nil
}

func (w *valueWriter) list(depth int) error {
	for w.dec.More() {
		if err := w.field(listItem, depth); err != nil {
			return err
		}
	}
	_, err := w.dec.Token() // the bracket
	return err
}

func (w *valueWriter) object(depth int) error {
	for w.dec.More() {
		err := w.long(structField, func() error {
			key, err := w.dec.Token()
			if err != nil {
				return err
			}
			name, _ := key.(string)
			w.b = protowire.AppendTag(w.b, entryKey, protowire.BytesType)
			w.b = protowire.AppendString(w.b, name)
			return w.field(entryValue, depth)
		})
		if err != nil {
			return err
		}
	}
	_, err := w.dec.Token() // the brace
	return err
}

// field appends the next value as a field of a message.
func (w *valueWriter) field(n protowire.Number, depth int) error {
	t, err := w.dec.Token()
	if err != nil {
		return err
	}
	if _, ok := t.(json.Delim); ok {
		return w.long(n, func() error { return w.value(t, depth) })
	}
	if s, ok := t.(string); ok && len(s) > 100 {
		return w.long(n, func() error { return w.value(t, depth) })
	}
	// What is left takes less than 128 bytes, so one byte holds its length.
	w.b = protowire.AppendTag(w.b, n, protowire.BytesType)
	at := len(w.b)
	w.b = append(w.b, 0)
	if err := w.value(t, depth); err != nil {
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
