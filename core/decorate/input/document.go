// Package input reads the inputs of calls: untrusted JSON that is to be checked
// against a schema.
//
// [Document.Read] reads an input. Then each value has an index; the whole input
// has index 0. [Document.Kind], [Document.Text] and the other methods look at
// the value at an index. A number is a literal ([Document.Raw]) until
// [ParseDecimal] parses it.
//
// # Order of the values
//
// Values are in the order of the input. The items of the
// array at index at begin at at+1, and [Document.Next] leads from one to the
// next. The members of an object are pairs: the name of the first one is at
// at+1 and its value at at+2. The Next of that value is the next name.
//
// # What is refused
//
// Whatever Read accepts, encoding/json accepts with the same value. Read
// refuses more. A name must not occur twice in an object, because the guest
// might read one value and the schema the other. The depth, the number of
// values, and the digits and exponent of a number are bounded. An [Error] says
// what is wrong.
//
// # What it costs
//
// An input is read in one pass, into 20 bytes for each value. A method whose
// cost grows with the value has a companion that returns the cost in units of
// work, which the caller pays before the call. Package schema defines the unit.
package input

import (
	"context"
	"fmt"
	"hash/maphash"
)

// Bounds of an input. A core does not parse the inputs of services without a
// schema.
const (
	// maxDepth is how deep arrays and objects can nest.
	maxDepth = 256
	// maxValues bounds the values in an input, names among them: at 20 bytes
	// each, 10 MB of memory.
	maxValues = 500_000
)

// Kind is the kind of a value.
type Kind uint8

// The kinds of JSON values.
const (
	Null Kind = iota
	False
	True
	Number
	String
	Array
	Object
)

// String returns the name of the type in JSON Schema.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case False, True:
		return "boolean"
	case Number:
		return "number"
	case Array:
		return "array"
	case Object:
		return "object"
	}
	return "string"
}

// Document is an input that has been read. It can be reused to read another
// one. It is not safe for concurrent use.
type Document struct {
	raw    []byte
	values []value
	path   []Step
	depth  int
	pos    int
	table  []slot
	seed   maphash.Seed
	ctx    context.Context

	forms []byte // canonical forms, see Form and Duplicates
	items []item // see Duplicates
}

// value is one entry of a document. The name of a member is an entry of its own,
// before its value.
type value struct {
	kind Kind
	// escaped is set if the bytes of a string are not its text, because of escapes
	// or broken UTF-8.
	escaped bool
	// count of items or members.
	count uint32
	// from and to delimit the value in the input, for a string without its
	// quotes.
	from, to uint32
	// next is the index of the entry after this one and everything in it.
	next uint32
}

// NewDocument returns an empty document.
func NewDocument() *Document { return &Document{seed: maphash.MakeSeed()} }

// Release drops the input and keeps the memory for the next one.
func (d *Document) Release() { d.raw, d.ctx = nil, nil }

// Kind returns the kind of the value at an index.
func (d *Document) Kind(at uint32) Kind { return d.values[at].kind }

// Count returns the number of items of an array or of members of an object.
func (d *Document) Count(at uint32) int { return int(d.values[at].count) }

// Next returns the index of the entry after a value and everything in it.
func (d *Document) Next(at uint32) uint32 { return d.values[at].next }

// Raw returns the bytes of a value in the input, for a string without its
// quotes. Do not change them.
func (d *Document) Raw(at uint32) []byte {
	v := &d.values[at]
	return d.raw[v.from:v.to]
}

// ReadWork returns what reading the document cost.
func (d *Document) ReadWork() int { return len(d.values) + len(d.raw)/16 }

// Error says what is wrong with an input, regardless of any schema.
type Error struct {
	// Text says what is wrong: "it is empty", or with a Field, "is a number of ...".
	Text string
	// Field is the path of the value that is wrong; empty for the whole input.
	Field string
	// Limit is the limit that was exceeded and Actual is the actual value. Both
	// are empty if the input is not JSON.
	Limit, Actual string
}

func (e *Error) Error() string { return e.Text }

func syntaxError(format string, args ...any) error {
	return &Error{Text: fmt.Sprintf(format, args...)}
}

func (d *Document) limitError(text string, limit, actual int) error {
	return &Error{Text: text, Field: d.Path(""), Limit: fmt.Sprint(limit), Actual: fmt.Sprint(actual)}
}
