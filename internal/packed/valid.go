package packed

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxDepth is how deep messages may nest, as in the decoder of protobuf.
const maxDepth = 10_000

// kind is a message, or a text, within an encoded structpb.Struct.
type kind int

const (
	otherKind kind = iota
	textKind
	structKind
	entryKind // of the map of a Struct
	valueKind
	listKind
)

// field returns what a field of a message is if it has a length.
func (k kind) field(number protowire.Number) kind {
	switch {
	case k == structKind && number == 1:
		return entryKind
	case k == entryKind && number == 1, k == valueKind && number == 3:
		return textKind
	case k == entryKind && number == 2, k == listKind && number == 1:
		return valueKind
	case k == valueKind && number == 5:
		return structKind
	case k == valueKind && number == 6:
		return listKind
	}
	return otherKind
}

// valid reports whether b can be decoded, without the memory that decoding takes.
func valid(b []byte, k kind, depth int) bool {
	if k == otherKind {
		return true
	}
	if k == textKind {
		return utf8.Valid(b)
	}
	if depth == 0 {
		return false
	}
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(number, wire, b[n:])
		if size < 0 {
			return false
		}
		if wire == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b[n:])
			if !valid(value, k.field(number), depth-1) {
				return false
			}
		}
		b = b[n+size:]
	}
	return true
}
