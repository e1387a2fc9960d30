package packed_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/packed"
)

func schema(t testing.TB, description string) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(map[string]any{
		"type": "object", "description": description, "required": []any{"name", nil, true, 1.5},
		"properties": map[string]any{"name": map[string]any{"type": "string"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func messages(t testing.TB) map[string]proto.Message {
	rev := &ruedov1.Revision{Service: "s", Number: 3, InputSchema: schema(t, "in"), OutputSchema: schema(t, "out"), Placement: "zone=a"}
	return map[string]proto.Message{
		"a decorator":               &ruedov1.Decorator{Name: "d", Tags: []string{"a"}, InputSchema: schema(t, "d"), Limits: &ruedov1.Limits{MemoryBytes: 1}, Latest: 7},
		"an empty schema":           &ruedov1.Decorator{Name: "d", InputSchema: &structpb.Struct{}, Latest: 7},
		"a decorator without one":   &ruedov1.Decorator{Name: "d", Latest: 7},
		"a service":                 &ruedov1.Service{Name: "s", Revision: rev, Latest: 9},
		"a service without schemas": &ruedov1.Service{Name: "s", Revision: &ruedov1.Revision{Service: "s", Number: 1}, Latest: 9},
		"no revision":               &ruedov1.Service{Name: "s"},
		"a core":                    &ruedov1.Core{Id: "c"},
	}
}

func TestAPackedMessageIsTheSameOnceItIsOpened(t *testing.T) {
	for name, m := range messages(t) {
		got := m.ProtoReflect().New().Interface()
		if err := packed.Unmarshal(encode(t, m), got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		switch got := got.(type) {
		case *ruedov1.Decorator:
			if got.GetInputSchema() != nil {
				t.Errorf("%s: the schema is decoded", name)
			}
			compare(t, name, packed.InputSchema(got), m.(*ruedov1.Decorator).GetInputSchema())
		case *ruedov1.Service:
			rev, want := got.GetRevision(), m.(*ruedov1.Service).GetRevision()
			if rev.GetInputSchema() != nil || rev.GetOutputSchema() != nil {
				t.Errorf("%s: a schema is decoded", name)
			}
			if rev != nil {
				compare(t, name, packed.InputSchema(rev), want.GetInputSchema())
				if out := packed.OutputSchema(rev); !proto.Equal(out, want.GetOutputSchema()) {
					t.Errorf("%s: the output schema is %v", name, out)
				}
			}
		}
		for _, other := range []proto.Message{got, proto.Clone(got)} {
			if opened := packed.Open(other); !proto.Equal(opened, m) {
				t.Errorf("%s: opened, it is %v", name, opened)
			}
		}
		again := m.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(encode(t, got), again); err != nil || !proto.Equal(again, m) {
			t.Errorf("%s: written, it is %v, %v", name, again, err)
		}
	}
}

func compare(t *testing.T, name string, got func() *structpb.Struct, want *structpb.Struct) {
	t.Helper()
	switch {
	case (got == nil) != (want == nil):
		t.Errorf("%s: has a schema: %v, want %v", name, got != nil, want != nil)
	case got != nil && !proto.Equal(got(), want):
		t.Errorf("%s: the schema is %v", name, got())
	}
}

// A message that nothing packed has the same accessors.
func TestASchemaThatIsDecoded(t *testing.T) {
	d := &ruedov1.Decorator{InputSchema: schema(t, "d")}
	if packed.InputSchema(d)() != d.GetInputSchema() || packed.Open(d) != d {
		t.Error("a decoded message is copied")
	}
	rev := &ruedov1.Revision{OutputSchema: schema(t, "out")}
	if packed.OutputSchema(rev) != rev.GetOutputSchema() || packed.InputSchema(rev) != nil {
		t.Error("a decoded revision has other schemas")
	}
}

// FuzzUnmarshal compares it with the decoder of protobuf: both accept the same
// bytes and read the same from them.
func FuzzUnmarshal(f *testing.F) {
	for _, m := range messages(f) {
		b := encode(f, m)
		f.Add(b, true)
		f.Add(b, false)
		f.Add(append(b, b...), true) // messages that are merged
	}
	// Two schemas, and two revisions, of which the second one ends what the first one
	// has not.
	unfinished := [][]byte{{10, 3, 10}, {1, 48}}
	var schemas, revisions []byte
	for i, part := range unfinished {
		schemas = protowire.AppendBytes(protowire.AppendTag(schemas, protowire.Number(15+i), protowire.BytesType), part)
		revisions = protowire.AppendBytes(protowire.AppendTag(revisions, 4, protowire.BytesType), part)
	}
	f.Add(protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), schemas), true)
	f.Add(revisions, true)
	f.Fuzz(func(t *testing.T, b []byte, service bool) {
		var got, want proto.Message = &ruedov1.Decorator{}, &ruedov1.Decorator{}
		if service {
			got, want = &ruedov1.Service{}, &ruedov1.Service{}
		}
		err, wantErr := packed.Unmarshal(b, got), proto.Unmarshal(b, want)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got %v, want %v", err, wantErr)
		}
		if err != nil {
			return
		}
		again := want.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(encode(t, packed.Open(got)), again); err != nil {
			t.Fatal(err)
		}
		if string(canonical(t, again)) != string(canonical(t, want)) {
			t.Errorf("got %v, want %v", again, want)
		}
	})
}

// canonical returns an encoding that two messages share if they are equal. Unlike
// proto.Equal, it takes a NaN for itself.
func canonical(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
