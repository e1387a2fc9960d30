package lane

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
)

// A frame that is used again has nothing of the call before, such as its caller. This
// also holds for fields that come later.
func TestAFrameRemembersNoCall(t *testing.T) {
	f := newExecuteFrame().(*executeFrame)
	f.frame.Id = 1
	for _, m := range []proto.Message{&f.execute, &f.request} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			v := map[protoreflect.Kind]protoreflect.Value{
				protoreflect.StringKind: protoreflect.ValueOfString("text"), protoreflect.BytesKind: protoreflect.ValueOfBytes([]byte("bytes")),
				protoreflect.BoolKind: protoreflect.ValueOfBool(true), protoreflect.Int64Kind: protoreflect.ValueOfInt64(1), protoreflect.Uint64Kind: protoreflect.ValueOfUint64(1),
				protoreflect.Uint32Kind: protoreflect.ValueOfUint32(1),
			}[fields.Get(i).Kind()]
			if fields.Get(i).Kind() == protoreflect.MessageKind {
				continue // the request, which is filled next
			}
			if !v.IsValid() {
				t.Fatalf("%s is a %s: add a value of it", fields.Get(i).Name(), fields.Get(i).Kind())
			}
			m.ProtoReflect().Set(fields.Get(i), v)
		}
	}
	new(Lane).reuse(f)
	want := newExecuteFrame().(*executeFrame)
	if !proto.Equal(&f.frame, &want.frame) || !proto.Equal(&f.request, new(runnerv1.ExecuteRequest)) {
		t.Errorf("it has %v", &f.frame)
	}
}
