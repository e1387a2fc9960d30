// Package packed keeps the JSON Schemas of services and decorators encoded.
//
// A decoded schema takes several times the memory of an encoded one, and a core
// with thousands of services needs few of them at a time. So a mirror decodes
// what it shows with [Unmarshal], and whoever needs a schema decodes it with
// [InputSchema] or [OutputSchema].
//
// In a packed message, the fields of the schemas are not set: they are among its
// unknown fields. So it is written with them, also by [proto.Marshal], and
// [proto.CloneOf] copies them; but a message that leaves the core has to be
// opened first ([Open]), because JSON has no unknown fields.
package packed

import (
	"errors"
	"iter"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Numbers of the fields that hold schemas, and of that of a service that holds a
// revision.
const (
	decoratorInput  protowire.Number = 4
	revisionInput   protowire.Number = 15
	revisionOutput  protowire.Number = 16
	serviceRevision protowire.Number = 4
)

// errMalformed is the error for what [proto.Unmarshal] would refuse.
var errMalformed = errors.New("malformed message")

// Unmarshal is [proto.Unmarshal], but leaves the schemas of a decorator or a
// service encoded. It refuses the same bytes, also in a schema. It copies nothing
// that is not kept: what is kept would share its memory with what is not.
func Unmarshal(b []byte, m proto.Message) error {
	proto.Reset(m)
	switch m := m.(type) {
	case *ruedov1.Decorator:
		return unmarshal(b, m, decoratorInput)
	case *ruedov1.Service:
		revision, err := split(b, into(m), serviceRevision)
		if err != nil || len(revision) == 0 {
			return err
		}
		m.Revision = &ruedov1.Revision{}
		for part := range contents(revision) {
			if err := unmarshal(part, m.Revision, revisionInput, revisionOutput); err != nil {
				return err
			}
		}
		return nil
	}
	return proto.Unmarshal(b, m)
}

// into returns a function that decodes parts of a message into m.
func into(m proto.Message) func(part []byte) error {
	return func(part []byte) error { return proto.UnmarshalOptions{Merge: true}.Unmarshal(part, m) }
}

// unmarshal decodes a message without the fields that hold schemas, which become
// unknown fields.
func unmarshal(b []byte, m proto.Message, schemas ...protowire.Number) error {
	packed, err := split(b, into(m), schemas...)
	if err != nil || len(packed) == 0 {
		return err
	}
	for schema := range contents(packed) {
		if !valid(schema, structKind, maxDepth) {
			return errMalformed
		}
	}
	r := m.ProtoReflect()
	r.SetUnknown(append(r.GetUnknown(), packed...))
	return nil
}

// split returns the fields of a message with some numbers, if they have a length as
// messages have, and passes the parts between them to rest, if it is not nil. A
// single field is a part of b.
func split(b []byte, rest func(part []byte) error, numbers ...protowire.Number) (chosen []byte, err error) {
	begin := 0 // of the part
	pass := func(end int) error {
		if rest == nil || begin == end {
			return nil
		}
		return rest(b[begin:end])
	}
	for at := 0; at < len(b); {
		number, kind, n := protowire.ConsumeField(b[at:])
		if n < 0 {
			return nil, errMalformed
		}
		end := at + n
		if kind == protowire.BytesType && slices.Contains(numbers, number) {
			if err := pass(at); err != nil {
				return nil, err
			}
			if chosen == nil {
				chosen = b[at:end:end]
			} else {
				chosen = append(chosen, b[at:end]...)
			}
			begin = end
		}
		at = end
	}
	return chosen, pass(len(b))
}

// contents returns the content of each of some fields.
func contents(fields []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(fields) > 0 {
			_, _, n := protowire.ConsumeTag(fields)
			content, size := protowire.ConsumeBytes(fields[n:])
			if !yield(content) {
				return
			}
			fields = fields[n+size:]
		}
	}
}

// InputSchema returns a function that decodes the input schema of a decorator or
// a revision, packed or not; nil if the message has none.
func InputSchema(m interface {
	proto.Message
	GetInputSchema() *structpb.Struct
}) func() *structpb.Struct {
	if s := m.GetInputSchema(); s != nil {
		return func() *structpb.Struct { return s }
	}
	number := revisionInput
	if _, ok := m.(*ruedov1.Decorator); ok {
		number = decoratorInput
	}
	if !has(m, number) {
		return nil
	}
	return func() *structpb.Struct { return open(m, number) }
}

// OutputSchema returns the output schema of a revision, packed or not; nil if it
// has none.
func OutputSchema(rev *ruedov1.Revision) *structpb.Struct {
	if s := rev.GetOutputSchema(); s != nil || !has(rev, revisionOutput) {
		return s
	}
	return open(rev, revisionOutput)
}

// has reports whether a message has an unknown field with a number.
func has(m proto.Message, number protowire.Number) bool {
	for b := m.ProtoReflect().GetUnknown(); len(b) > 0; {
		n, kind, size := protowire.ConsumeField(b)
		if size < 0 {
			return false
		}
		if n == number && kind == protowire.BytesType {
			return true
		}
		b = b[size:]
	}
	return false
}

// open decodes a packed schema.
func open(m proto.Message, number protowire.Number) *structpb.Struct {
	fields, err := split(m.ProtoReflect().GetUnknown(), nil, number)
	s := &structpb.Struct{}
	merge := into(s)
	for content := range contents(fields) {
		err = errors.Join(err, merge(content))
	}
	if err != nil {
		return &structpb.Struct{} // Unmarshal has checked it, so this cannot be
	}
	return s
}

// Open returns a message with its schemas decoded. It is m if nothing is packed.
func Open[M proto.Message](m M) M {
	var part proto.Message = m
	if s, ok := part.(*ruedov1.Service); ok {
		part = s.GetRevision()
	}
	if len(part.ProtoReflect().GetUnknown()) == 0 {
		return m
	}
	b, err := proto.Marshal(m)
	opened := m.ProtoReflect().New().Interface()
	if err != nil || proto.Unmarshal(b, opened) != nil {
		return m // as in open
	}
	return opened.(M)
}
