package value

import (
	"encoding/binary"
	"math/bits"
)

// StringSize returns the length of the string that text begins with, quotes
// included, or of text if it does not end.
func StringSize(text []byte) int {
	for i := 1; i < len(text); i += 2 { // a backslash and what it escapes
		i += without(text[i:], '\\', 0)
		if i < len(text) && text[i] == '"' {
			return i + 1
		}
	}
	return len(text)
}

// Plain returns how many bytes of text have no meaning for how JSON is nested.
// It may stop at others than quotes and brackets.
func Plain(text []byte) int {
	// Without the bits of 0x26 all brackets are a Y, and so are few other bytes.
	return without(text, 'Y', 0x26)
}

// without returns how many bytes come before the first quote or the first byte
// that is other once the bits of mask are cleared. It looks at eight at a time:
// inputs have megabytes.
func without(text []byte, other, mask byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(text); i += 8 {
		x := binary.LittleEndian.Uint64(text[i:])
		q := x ^ ones*'"'
		o := x&^(ones*uint64(mask)) ^ ones*uint64(other)
		// The lowest high bit that stays belongs to the first byte that is zero.
		if found := ((q-ones)&^q | (o-ones)&^o) & highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(text) && text[i] != '"' && text[i]&^mask != other {
		i++
	}
	return i
}
