package value

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// encode returns the encoded value of one JSON value.
func encode(text string) ([]byte, error) {
	b, err := Append(nil, 1, []byte(text))
	if err != nil {
		return nil, err
	}
	_, _, tag := protowire.ConsumeTag(b)
	value, n := protowire.ConsumeBytes(b[tag:])
	if n != len(b)-tag {
		return nil, errors.New("what is appended is not one field")
	}
	return value, nil
}

// A value that is translated is the one that protobuf's own types make of it.
func FuzzValue(f *testing.F) {
	for _, text := range []string{
		`null`, `true`, `-0`, `1e308`, `5e-324`, `123456789012345678`, `"a\u0000\ud83d\ude00"`, `[]`, `{}`, `[[],{"":null}]`,
		`{"a":[1,2,{"b":"` + strings.Repeat("x", 300) + `"}],"c":{"d":{}}}`, `[` + strings.Repeat(`0,`, 200) + `0]`,
		strings.Repeat("[", 200) + strings.Repeat("]", 200), `{"<&>":"\u2028"}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := new(structpb.Value)
		if want.UnmarshalJSON([]byte(text)) != nil {
			return // nothing to compare with; Append may take it, or not
		}
		b, err := encode(text)
		if err != nil {
			t.Fatalf("%q is not taken: %v", text, err)
		}
		got := new(structpb.Value)
		if err := proto.Unmarshal(b, got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !proto.Equal(want, got) {
			t.Fatalf("%q became %v", text, got)
		}
		wire, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		back, err := JSON(wire, 1<<30)
		if err != nil {
			t.Fatalf("%q does not come back: %v", text, err)
		}
		again := new(structpb.Value)
		if err := again.UnmarshalJSON(back); err != nil {
			t.Fatalf("%q came back as %q: %v", text, back, err)
		}
		if !proto.Equal(want, again) {
			t.Fatalf("%q came back as %q", text, back)
		}
	})
}

// Bytes that are no value end in an error, whatever they are.
func FuzzValueBytes(f *testing.F) {
	b, err := proto.Marshal(structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("x"), structpb.NewNumberValue(1)}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, wire []byte) {
		text, err := JSON(wire, 1<<20)
		if err == nil && !json.Valid(text) {
			t.Errorf("%x became %q", wire, text)
		}
	})
}

func TestValuesAreBoundedInLengthDepthAndRange(t *testing.T) {
	long, err := proto.Marshal(structpb.NewStringValue(strings.Repeat("x", 1000)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := JSON(long, 999); !errors.Is(err, ErrTooLong) {
		t.Errorf("over the limit: %v", err)
	}
	nan, err := proto.Marshal(&structpb.Value{Kind: &structpb.Value_NumberValue{NumberValue: math.NaN()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := JSON(nan, 1000); !errors.Is(err, ErrNumber) {
		t.Errorf("NaN: %v", err)
	}
	if _, err := encode(`1e999`); !errors.Is(err, ErrNumber) {
		t.Errorf("a number over a double's range: %v", err)
	}
	if _, err := encode(strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)); err == nil {
		t.Error("a value that is too deep is taken")
	}
}

// The memory of a translation is a small multiple of the text: as objects of Go
// the same value takes hundreds of bytes for each of its own.
func TestATranslationTakesLittleMemory(t *testing.T) {
	text := []byte("[" + strings.Repeat("0,", 1<<20) + "0]")
	wire, err := encode(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(wire) > 8*len(text) {
		t.Errorf("%d bytes became %d", len(text), len(wire))
	}
	back, err := JSON(wire, uint64(len(text)))
	if err != nil || string(back) != string(text) {
		t.Errorf("it does not come back: %v", err)
	}
}
