// Package value translates between JSON and the binary encoding of
// google.protobuf.Value, in which JSON values cross the binary API.
//
//	text, err := value.JSON(wire, limit)
//	wire, err := value.Append(wire, field, text)
//
// Made into objects of Go, a value of some megabytes takes hundreds; so it is
// translated from one encoding to the other and never made. Both directions take
// memory in proportion to the text, and time in proportion to its length.
package value

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

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

// Why a value cannot be translated. Bytes that are not a value at all have other
// errors.
var (
	ErrDepth   = fmt.Errorf("it is nested deeper than %d", maxDepth)
	ErrTooLong = errors.New("it is too long")
	ErrNumber  = errors.New("it contains a number that JSON cannot express")
	ErrUTF8    = errors.New("it contains text that is not valid UTF-8")
)

// messages calls visit with each message in a repeated field.
func messages(b []byte, number protowire.Number, visit func([]byte) error) error {
	return Fields(b, func(n protowire.Number, t protowire.Type, bytes []byte, _ uint64) error {
		if n != number || t != protowire.BytesType {
			return nil
		}
		return visit(bytes)
	})
}

// Fields calls visit with each field of a message: with its bytes, or with its
// number.
func Fields(b []byte, visit func(n protowire.Number, t protowire.Type, bytes []byte, v uint64) error) error {
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
