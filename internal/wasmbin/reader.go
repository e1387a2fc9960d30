package wasmbin

import (
	"fmt"
	"unicode/utf8"
)

// Reader reads values from the front of a slice of a module. After an error its
// position is unspecified.
type Reader struct {
	b     []byte
	pos   int
	base  int64 // offset of b[0] in the file
	ready int   // bytes of b that are known to have arrived
	// admission of the file, if it is not complete yet.
	admission *Admission
}

// NewReader returns a reader of b, which begins at an offset of the file.
func NewReader(b []byte, offset int64) *Reader {
	return &Reader{b: b, base: offset, ready: len(b)}
}

// there waits for the next n bytes. It returns false if they will never arrive.
func (r *Reader) there(n int) bool {
	if n > r.Len() {
		return false
	}
	end := r.pos + n
	if end > r.ready {
		if !r.admission.await(int(r.base) + end) {
			return false
		}
		r.ready = min(r.admission.got-int(r.base), len(r.b))
	}
	return true
}

// Offset returns the offset of the next byte in the file.
func (r *Reader) Offset() int64 { return r.base + int64(r.pos) }

// Len returns the number of bytes that remain.
func (r *Reader) Len() int { return len(r.b) - r.pos }

// Byte reads one byte.
func (r *Reader) Byte() (byte, error) {
	if r.pos >= r.ready && !r.there(1) {
		return 0, malformed(r.Offset(), "unexpected end")
	}
	c := r.b[r.pos]
	r.pos++
	return c, nil
}

// Bytes reads n bytes, which share the caller's memory.
func (r *Reader) Bytes(n uint64) ([]byte, error) {
	if n > uint64(r.Len()) {
		return nil, malformed(r.Offset(), "%d bytes are announced and %d remain", n, r.Len())
	}
	if !r.there(int(n)) {
		return nil, errClosed
	}
	p := r.b[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return p, nil
}

// Sub returns a reader of the next n bytes.
func (r *Reader) Sub(n uint64) (*Reader, error) {
	if n > uint64(r.Len()) {
		return nil, malformed(r.Offset(), "%d bytes are announced and %d remain", n, r.Len())
	}
	end := r.pos + int(n)
	s := &Reader{b: r.b[r.pos:end:end], base: r.Offset(), ready: max(0, min(r.ready, end)-r.pos), admission: r.admission}
	r.pos = end
	return s, nil
}

// U32 reads an unsigned LEB128 of at most 32 bits in at most 5 bytes.
func (r *Reader) U32() (uint32, error) {
	if r.pos < r.ready && r.b[r.pos] < 0x80 { // as most are
		r.pos++
		return uint32(r.b[r.pos-1]), nil
	}
	v, err := r.unsigned(32)
	return uint32(v), err
}

// U64 reads an unsigned LEB128 of at most 64 bits in at most 10 bytes.
func (r *Reader) U64() (uint64, error) { return r.unsigned(64) }

// I32 reads a signed LEB128 of 32 bits in at most 5 bytes.
func (r *Reader) I32() (int32, error) {
	v, err := r.signed(32)
	return int32(v), err
}

// I64 reads a signed LEB128 of 64 bits in at most 10 bytes.
func (r *Reader) I64() (int64, error) { return r.signed(64) }

func (r *Reader) unsigned(bits uint) (uint64, error) {
	start := r.Offset()
	var v uint64
	for shift := uint(0); ; shift += 7 {
		c, err := r.Byte()
		if err != nil {
			return 0, err
		}
		if left := bits - shift; left < 7 && c>>left != 0 {
			return 0, malformed(start, "a number is longer than %d bits", bits)
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, nil
		}
	}
}

func (r *Reader) signed(bits uint) (int64, error) {
	start := r.Offset()
	var v int64
	for shift := uint(0); ; shift += 7 {
		c, err := r.Byte()
		if err != nil {
			return 0, err
		}
		if left := bits - shift; left < 7 {
			// The last byte: no continuation, and all bits from the sign up equal.
			top := int8(c<<1) >> left // arithmetic: sign bits of the 7-bit group
			if c >= 0x80 || (top != 0 && top != -1) {
				return 0, malformed(start, "a signed number is longer than %d bits", bits)
			}
		}
		v |= int64(c&0x7f) << shift
		if c < 0x80 {
			if n := shift + 7; n < 64 && c&0x40 != 0 {
				v |= -1 << n
			}
			return v, nil
		}
	}
}

// Name reads a string, which must be UTF-8.
func (r *Reader) Name() (string, error) {
	b, at, err := r.sized()
	if err != nil {
		return "", err
	}
	return utf8Name(b, at)
}

// sized reads a length, which stands at an offset of the file, and as many
// bytes.
func (r *Reader) sized() (b []byte, at int64, err error) {
	at = r.Offset()
	n, err := r.U32()
	if err != nil {
		return nil, at, err
	}
	b, err = r.Bytes(uint64(n))
	return b, at, err
}

func utf8Name(b []byte, offset int64) (string, error) {
	if !utf8.Valid(b) {
		return "", malformed(offset, "a name is not UTF-8")
	}
	return string(b), nil
}

// Count reads the length of a vector whose entries take at least size bytes
// each, so that a false count is found before anything is allocated.
func (r *Reader) Count(size int, limit uint64, what string) (int, error) {
	off := r.Offset()
	n, err := r.U32()
	if err != nil {
		return 0, err
	}
	// A false count is reported before one that exceeds a limit.
	if uint64(n)*uint64(size) > uint64(r.Len()) {
		return 0, malformed(off, "%d %s are announced and only %d bytes remain", n, what, r.Len())
	}
	if uint64(n) > limit {
		return 0, overLimit(off, "too many "+what, uint64(n), limit)
	}
	return int(n), nil
}

// End returns an error unless everything was read.
func (r *Reader) End(what string) error {
	if n := r.Len(); n != 0 {
		return malformed(r.Offset(), "%d bytes are left over at the end of %s", n, what)
	}
	return nil
}

// String returns a value type as the text format spells it.
func (t ValType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return fmt.Sprintf("type 0x%02x", byte(t))
}

// String returns a signature such as "(i32, i64) -> (i32)".
func (t FuncType) String() string {
	list := func(ts []ValType) string {
		s := "("
		for i, t := range ts {
			if i > 0 {
				s += ", "
			}
			if i == 16 {
				s += "..."
				break
			}
			s += t.String()
		}
		return s + ")"
	}
	return list(t.Params) + " -> " + list(t.Results)
}
