package executor_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
)

// A request that has waited loses nothing but time, also of fields that come later.
func TestWaitedKeepsTheRequest(t *testing.T) {
	req := &runnerv1.ExecuteRequest{}
	fields := req.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		v := map[protoreflect.Kind]protoreflect.Value{
			protoreflect.StringKind: protoreflect.ValueOfString("text"), protoreflect.BytesKind: protoreflect.ValueOfBytes([]byte("bytes")),
			protoreflect.BoolKind: protoreflect.ValueOfBool(true), protoreflect.Int64Kind: protoreflect.ValueOfInt64(int64(time.Minute)),
		}[f.Kind()]
		if !v.IsValid() {
			t.Fatalf("%s is a %s: add a value of it", f.Name(), f.Kind())
		}
		req.ProtoReflect().Set(f, v)
	}
	got := executor.Waited(req, time.Second)
	want := proto.CloneOf(req)
	want.MaxWaitNanos -= int64(time.Second)
	if !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
