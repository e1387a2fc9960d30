package upload

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// TestPartsAreDecodedAsAnyMessage compares the codec of uploads with the
// ordinary one, on messages that a hostile client could send.
func TestPartsAreDecodedAsAnyMessage(t *testing.T) {
	data := protowire.AppendBytes(protowire.AppendTag(nil, dataField, protowire.BytesType), []byte("module"))
	head := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), nil)
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.VarintType), 1)
	var codec partCodec
	for name, b := range map[string][]byte{
		"data":                  data,
		"empty data":            {dataField<<3 | 2, 0},
		"nothing":               {},
		"head":                  head,
		"head, then data":       slices.Concat(head, data),
		"data, then head":       slices.Concat(data, head),
		"data twice":            slices.Concat(data, data),
		"data, then unknown":    slices.Concat(data, unknown),
		"unknown, then data":    slices.Concat(unknown, data),
		"data of another kind":  {dataField << 3, 1},
		"a length of its own":   {dataField<<3 | 2, 0x86, 0x80, 0x00, 'm', 'o', 'd', 'u', 'l', 'e'},
		"a length past the end": {dataField<<3 | 2, 200, 'm'},
		"a length that lies":    {dataField<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"a tag that breaks off": {0x80},
		"a tag that is none":    {0},
	} {
		want, got := new(ruedov1.UploadModuleRequest), new(ruedov1.UploadModuleRequest)
		wantErr := proto.Unmarshal(b, want)
		err := codec.Unmarshal(b, got)
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%s: %v, the ordinary codec says %v", name, err, wantErr)
		}
		if err == nil && !proto.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if err := codec.Unmarshal(data, "no message"); err == nil {
		t.Error("a string was decoded")
	}
}

// TestPartsShareNothing decodes a part into the buffer of an earlier one.
func TestPartsShareNothing(t *testing.T) {
	var codec partCodec
	decode := func(data []byte) []byte {
		wire, err := codec.Marshal(&ruedov1.UploadModuleRequest{Part: &ruedov1.UploadModuleRequest_Data{Data: data}})
		if err != nil {
			t.Fatal(err)
		}
		m := new(ruedov1.UploadModuleRequest)
		if err := codec.Unmarshal(wire, m); err != nil {
			t.Fatal(err)
		}
		clear(wire) // the reader reuses it
		return m.GetData()
	}
	long, short := bytes.Repeat([]byte("a"), maxData), []byte("b")
	for range 10 {
		for _, want := range [][]byte{long, short, {}} {
			first, second := decode(want), decode(long)
			if !bytes.Equal(first, want) {
				t.Fatalf("got %d bytes, want %d", len(first), len(want))
			}
			codec.done(second)
			codec.done(first)
		}
	}
}
