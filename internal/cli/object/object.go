// Package object writes messages of the API as objects for programs, in the words
// that users write.
//
// JSON of protobuf has names, units and enums of its own, and writes large
// numbers as strings. Here a field has the name that it has in YAML
// (input_schema), a limit its name and its unit from the table of limits
// (memory: 64MiB), a value of an enum its word (function), a duration the text
// that flags take (1m30s) and a time RFC 3339. Numbers are numbers, and an
// example that is JSON is JSON.
//
// All functions are safe for concurrent use.
package object

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// Object is a JSON object whose fields keep their order.
type Object []Field

// Field is a field of an Object. Its value is anything that encoding/json
// encodes.
type Field struct {
	Name  string
	Value any
}

// MarshalJSON encodes the fields in their order.
func (o Object) MarshalJSON() ([]byte, error) {
	b := bytes.NewBufferString("{")
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(f.Name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(f.Value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Of returns a message as a value for encoding/json: an [Object] with the fields
// in the order of the proto file, except for messages that are values themselves.
// Fields that are not set are included, so that programs find one shape; only
// messages and limits that are not set are omitted.
func Of(m proto.Message) any { return message(m.ProtoReflect()) }

func message(m protoreflect.Message) any {
	switch m := m.Interface().(type) {
	case *ruedov1.Limits:
		return limitsOf(m)
	case *ruedov1.EffectiveLimit:
		return effective(m)
	case *durationpb.Duration:
		return m.AsDuration().String()
	case *timestamppb.Timestamp:
		return m.AsTime().Format(time.RFC3339Nano)
	case *structpb.Struct:
		return m.AsMap()
	case *structpb.ListValue:
		return m.AsSlice()
	case *structpb.Value:
		return m.AsInterface()
	}
	return fields(m)
}

func fields(m protoreflect.Message) Object {
	o := Object{}
	list := m.Descriptor().Fields()
	for i := range list.Len() {
		f := list.Get(i)
		if f.HasPresence() && !m.Has(f) {
			continue
		}
		name, v := string(f.Name()), m.Get(f)
		switch {
		case f.IsMap():
			values := map[string]any{}
			v.Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
				values[key.String()] = single(f.MapValue(), v)
				return true
			})
			o = append(o, Field{name, values})
		case f.IsList():
			values := make([]any, v.List().Len())
			for i := range values {
				values[i] = single(f, v.List().Get(i))
			}
			o = append(o, Field{name, values})
		case f.FullName() == "ruedo.v1.Revision.example":
			o = append(o, example(name, v.Bytes()))
		case f.Kind() == protoreflect.BytesKind:
			o = append(o, Bytes(name, v.Bytes()))
		default:
			o = append(o, Field{name, single(f, v)})
		}
	}
	return o
}

// single returns one value of a field.
func single(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return message(v.Message())
	case protoreflect.EnumKind:
		return word(f.Enum(), v.Enum())
	}
	return v.Interface()
}

// Word returns the word of an enum's value: "function" for KIND_FUNCTION. It is
// empty for the zero value and for one that this program does not know.
func Word(e protoreflect.Enum) string { return word(e.Descriptor(), e.Number()) }

func word(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := e.Values().ByNumber(n)
	if v == nil || n == 0 {
		return ""
	}
	prefix := strings.TrimSuffix(string(e.Values().ByNumber(0).Name()), "UNSPECIFIED")
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), prefix))
}

// Bytes returns a field with bytes: their text if they are UTF-8, else their
// Base64 under a name that ends in _base64.
func Bytes(name string, b []byte) Field {
	if utf8.Valid(b) {
		return Field{name, string(b)}
	}
	return Field{name + "_base64", base64.StdEncoding.EncodeToString(b)}
}

// example returns a field with an input: JSON if it is JSON, else as Bytes does.
// A JSON string keeps its quotes, which tell it from a text.
func example(name string, b []byte) Field {
	if trimmed := bytes.TrimSpace(b); json.Valid(b) && utf8.Valid(b) && trimmed[0] != '"' {
		return Field{name, json.RawMessage(b)}
	}
	return Bytes(name, b)
}

// limitsOf returns the limits that l sets, as the documents of decorators do.
func limitsOf(l *ruedov1.Limits) Object {
	o := Object{}
	for _, row := range limits.Table() {
		if v := row.Get(l); v != 0 {
			o = append(o, Field{row.Name, row.Value(v)})
		}
	}
	return o
}

// effective returns a limit in effect. Its value is text if there is no limit.
func effective(e *ruedov1.EffectiveLimit) Object {
	o := fields(e.ProtoReflect())
	row, ok := limits.Lookup(e.GetLimit())
	if !ok {
		return o
	}
	v, ok := row.Parse(e.GetValue())
	for i := range o {
		if ok && o[i].Name == "value" {
			o[i].Value = row.Value(v)
		}
	}
	return o
}
