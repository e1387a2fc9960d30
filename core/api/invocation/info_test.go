package invocation

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// What is written by hand is what protojson reads, field by field: one that is added to
// the message is not forgotten.
func TestAnInfoIsWrittenAsProtobufsJSON(t *testing.T) {
	var infos []*ruedov1.CallInfo
	fields := (&ruedov1.CallInfo{}).ProtoReflect().Descriptor().Fields()
	whole := &ruedov1.CallInfo{}
	for i := range fields.Len() {
		one := &ruedov1.CallInfo{}
		for _, info := range []*ruedov1.CallInfo{one, whole} {
			fill(info.ProtoReflect(), fields.Get(i))
		}
		infos = append(infos, one)
	}
	infos = append(infos, nil, whole, &ruedov1.CallInfo{ExitCode: -1, Revision: math.MaxUint64, Trace: "\"\\/\b\f\n\r\t\x00\x1f\x7f é 😀"})
	for _, d := range []time.Duration{0, 1, 10, 1500, time.Millisecond, time.Second, 90*time.Second + 5, -time.Second - 1, -1, math.MaxInt64} {
		infos = append(infos, &ruedov1.CallInfo{Duration: durationpb.New(d)})
	}
	for _, want := range infos {
		text, err := appendInfo(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got := &ruedov1.CallInfo{}
		if err := protojson.Unmarshal(text, got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if want != nil && !proto.Equal(got, want) {
			t.Errorf("%s is %v, want %v", text, got, want)
		}
	}
}

// fill gives a field a value.
func fill(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	switch f.Kind() {
	case protoreflect.StringKind:
		m.Set(f, protoreflect.ValueOfString("text"))
	case protoreflect.BytesKind:
		m.Set(f, protoreflect.ValueOfBytes([]byte("bytes")))
	case protoreflect.BoolKind:
		m.Set(f, protoreflect.ValueOfBool(true))
	case protoreflect.Int32Kind:
		m.Set(f, protoreflect.ValueOfInt32(7))
	case protoreflect.Int64Kind:
		m.Set(f, protoreflect.ValueOfInt64(7))
	case protoreflect.Uint32Kind:
		m.Set(f, protoreflect.ValueOfUint32(7))
	case protoreflect.Uint64Kind:
		m.Set(f, protoreflect.ValueOfUint64(7))
	case protoreflect.MessageKind:
		of := m.Mutable(f).Message()
		for i := range of.Descriptor().Fields().Len() {
			fill(of, of.Descriptor().Fields().Get(i))
		}
	default:
		panic("a field of kind " + f.Kind().String())
	}
}
