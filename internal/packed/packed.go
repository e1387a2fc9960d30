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
// service encoded. It refuses the same bytes, also in a schema.
func Unmarshal(b []byte, m proto.Message) error {
	switch m := m.(type) {
	case *ruedov1.Decorator:
		return unmarshal(b, m, decoratorInput)
	case *ruedov1.Service:
		rest, revision, err := split(b, serviceRevision)
		if err != nil || len(revision) == 0 {
			return errors.Join(err, proto.Unmarshal(rest, m))
		}
		if err := proto.Unmarshal(rest, m); err != nil {
			return err
		}
		m.Revision = &ruedov1.Revision{}
		return unmarshal(join(revision), m.Revision, revisionInput, revisionOutput)
	}
	return proto.Unmarshal(b, m)
}

// unmarshal decodes a message without the fields that hold schemas, which become
// unknown fields.
func unmarshal(b []byte, m proto.Message, schemas ...protowire.Number) error {
	rest, packed, err := split(b, schemas...)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(rest, m); err != nil || len(packed) == 0 {
		return err
	}
	if !valid(join(packed), structKind, maxDepth) {
		return errMalformed
	}
	r := m.ProtoReflect()
	r.SetUnknown(append(r.GetUnknown(), packed...))
	return nil
}

// split separates the fields of a message with some numbers, if they have a
// length as messages have, from the rest. Without such fields, the rest is b.
func split(b []byte, numbers ...protowire.Number) (rest, chosen []byte, err error) {
	for at := 0; at < len(b); {
		number, kind, n := protowire.ConsumeField(b[at:])
		if n < 0 {
			return nil, nil, errMalformed
		}
		field := b[at : at+n]
		at += n
		switch {
		case kind == protowire.BytesType && slices.Contains(numbers, number):
			if chosen == nil {
				rest = append(make([]byte, 0, len(b)-n), b[:at-n]...)
			}
			chosen = append(chosen, field...)
		case chosen != nil:
			rest = append(rest, field...)
		}
	}
	if chosen == nil {
		rest = b
	}
	return rest, chosen, nil
}

// join returns the content of fields that follow each other. That of several is
// the content of the merged message.
func join(fields []byte) (content []byte) {
	for len(fields) > 0 {
		_, _, n := protowire.ConsumeTag(fields)
		part, size := protowire.ConsumeBytes(fields[n:])
		if content == nil && n+size == len(fields) {
			return part
		}
		content = append(content, part...)
		fields = fields[n+size:]
	}
	return content
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
	_, fields, err := split(m.ProtoReflect().GetUnknown(), number)
	s := &structpb.Struct{}
	if err != nil || proto.Unmarshal(join(fields), s) != nil {
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
