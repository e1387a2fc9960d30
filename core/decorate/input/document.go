// Package input reads the inputs of calls: JSON that strangers send, to be checked
// against a schema.
//
// [Document.Read] an input; then each value has an index, beginning with 0 for
// the whole. [Document.Kind], [Document.Text] and the other methods look at the
// value at an index. A number is a literal ([Document.Raw]) until [ParseDecimal].
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
// What Read accepts, encoding/json accepts with the same value. Read refuses more.
// A name must not stand twice in an object: the guest might read the one value and
// the schema the other. Depth, number of values, and digits and exponent of a
// number are bounded. An [Error] says what is wrong.
//
// # What it costs
//
// An input is read in one pass, into 20 bytes for each value. Methods whose cost grows with the value have a
// method next to them that returns the cost in units of work, for the caller to
// pay before the call; see the package schema for what a unit is.
package input

import (
	"context"
	"fmt"
	"hash/maphash"
)

// Bounds of an input. Inputs of services without a schema are not read by a core
// at all.
const (
	// maxDepth is how deep arrays and objects may nest.
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

// Document is an input that has been read. It can read another one after that. It
// is not safe for concurrent use.
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
	// from and to are where it stands in the input: a string without its quotes.
	from, to uint32
	// next is the index of the entry that follows it and all that is in it.
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

// Next returns the index of what follows a value and all that is in it.
func (d *Document) Next(at uint32) uint32 { return d.values[at].next }

// Raw returns the bytes of a value as they stand in the input, a string without
// its quotes; do not change them.
func (d *Document) Raw(at uint32) []byte {
	v := &d.values[at]
	return d.raw[v.from:v.to]
}

// ReadWork returns what reading the document has cost.
func (d *Document) ReadWork() int { return len(d.values) + len(d.raw)/16 }

// Error says what is wrong with an input before any schema sees it.
type Error struct {
	// Text says what is wrong: "it is empty", or with a Field, "is a number of ...".
	Text string
	// Field is the path of the value that is wrong; empty if it is the input.
	Field string
	// Limit is the bound that was exceeded and Actual what the input has; both are
	// empty if the input is not JSON.
	Limit, Actual string
}

func (e *Error) Error() string { return e.Text }

func syntaxError(format string, args ...any) error {
	return &Error{Text: fmt.Sprintf(format, args...)}
}

func (d *Document) limitError(text string, limit, actual int) error {
	return &Error{Text: text, Field: d.Path(""), Limit: fmt.Sprint(limit), Actual: fmt.Sprint(actual)}
}
