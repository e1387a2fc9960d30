//go:build hostile

package hostile

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// chance makes every decision of a fuzzer. The decisions depend only on its
// seed.
type chance struct{ *rand.Rand }

func newChance(seed, stream uint64) chance { return chance{rand.New(rand.NewPCG(seed, stream))} }

// in returns true once in n times.
func (c chance) in(n int) bool { return c.IntN(n) == 0 }

// span returns a duration up to limit, usually a short one.
func (c chance) span(limit time.Duration) time.Duration {
	return time.Duration(float64(limit) * math.Pow(c.Float64(), 3))
}

// words are texts that mean something to the core. The victim's name is not
// among them, because a delete could use it; nor is the cluster's id, because a
// lane with it would get the victim's calls.
var words = []string{
	"", "fuzz", "row-0-page", "no-such-service", "A B", "..", "a/b", "*", "application/json", "text/html", strings.Repeat("ab", 32), strings.Repeat("0", 32),
	"\x00", "\u202e", "ruedo.v1.InvokeService", "ruedo/v1/invoke.proto", "%00", "1e999990", "true", "null", `{"type":"object"}`, "3600s",
}

// text returns a string, rarely a long one.
func (c chance) text() string {
	switch {
	case c.in(200):
		return strings.Repeat(words[1+c.IntN(len(words)-1)], 1<<c.IntN(14))
	case c.in(3):
		return string(c.noise(c.IntN(40)))
	}
	return words[c.IntN(len(words))]
}

// noise returns n arbitrary bytes.
func (c chance) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.Uint32())
	}
	return b
}

// number returns an integer, often at an edge.
func (c chance) number() uint64 {
	edges := []uint64{0, 1, 2, 63, 64, 255, 65535, 65536, 1 << 20, math.MaxInt32, 1 << 31, math.MaxUint32, math.MaxInt64, 1 << 63, math.MaxUint64}
	if c.in(3) {
		return c.Uint64()
	}
	return edges[c.IntN(len(edges))]
}

// real returns a float, often NaN or infinite.
func (c chance) real() float64 {
	return []float64{0, 1, -1, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, math.SmallestNonzeroFloat64, c.NormFloat64()}[c.IntN(9)]
}

// message returns a message of a type with some of its fields set.
func (c chance) message(d protoreflect.MessageDescriptor, depth int) *dynamicpb.Message {
	m := dynamicpb.NewMessage(d)
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if c.in(3) || depth <= 0 && f.Kind() == protoreflect.MessageKind {
			continue
		}
		switch {
		case f.IsMap():
			for range c.IntN(4) {
				m.Mutable(f).Map().Set(c.value(f.MapKey(), 0).MapKey(), c.value(f.MapValue(), depth-1))
			}
		case f.IsList():
			for range c.IntN(5) {
				m.Mutable(f).List().Append(c.value(f, depth-1))
			}
		default:
			m.Set(f, c.value(f, depth-1))
		}
	}
	return m
}

func (c chance) value(f protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(c.in(2))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(c.number() % 9)))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(c.number()))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(c.number()))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(c.number()))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(c.number())
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(c.real()))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(c.real())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.ToValidUTF8(c.text(), "?"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(c.text()))
	}
	return protoreflect.ValueOfMessage(c.message(f.Message(), depth))
}

// encoded returns a message for a procedure, in a codec; usually it is valid.
func (c chance) encoded(d protoreflect.MessageDescriptor, codec string) []byte {
	var b []byte
	m := c.message(d, 1+c.IntN(5))
	if codec == "json" {
		b, _ = protojson.MarshalOptions{AllowPartial: true}.Marshal(m) // some values have no text: then b is empty
	} else {
		b, _ = proto.MarshalOptions{Deterministic: true}.Marshal(m)
	}
	if c.in(40) {
		b = c.deep(codec)
	}
	for c.in(3) {
		b = c.mutated(b)
	}
	return b
}

// deep returns deeply nested nonsense.
func (c chance) deep(codec string) []byte {
	n := 1 << c.IntN(16)
	if codec == "json" {
		return []byte(`{"input":` + strings.Repeat([]string{"[", `{"a":`}[c.IntN(2)], n))
	}
	var b []byte
	for range min(n, 4000) {
		b = field(protowire.Number(1+c.IntN(6)), b)
	}
	return b
}

// mutated returns b with one thing changed.
func (c chance) mutated(b []byte) []byte {
	b = slices.Clone(b)
	at := c.IntN(len(b) + 1)
	switch c.IntN(9) {
	case 0: // bits flip
		for range 1 + c.IntN(8) {
			if len(b) > 0 {
				b[c.IntN(len(b))] ^= 1 << c.IntN(8)
			}
		}
	case 1: // truncate
		b = b[:at]
	case 2: // a part twice, or very often
		end := at + c.IntN(len(b)-at+1)
		times := 1
		if c.in(10) {
			times = 1 + (256<<10)/(end-at+1)
		}
		b = slices.Concat(b[:end], bytes.Repeat(b[at:end], times), b[end:])
	case 3: // the whole twice
		b = slices.Concat(b, b)
	case 4: // a false length
		b = slices.Insert(b, at, protowire.AppendVarint(nil, c.number())...)
	case 5: // a field that is unknown, or of another type
		tag := protowire.AppendTag(nil, protowire.Number(1+c.IntN(20)), protowire.Type(c.IntN(6)))
		b = slices.Insert(b, at, append(tag, c.noise(c.IntN(12))...)...)
	case 6: // noise
		b = slices.Insert(b, at, c.noise(c.IntN(64))...)
	case 7: // a part removed
		b = slices.Delete(b, at, at+c.IntN(len(b)-at+1))
	case 8: // a text that means something to the core
		b = slices.Insert(b, at, []byte(c.text())...)
	}
	return b[:min(len(b), 9<<20)]
}

// packed returns b as gzip, rarely a broken one or a bomb.
func (c chance) packed(b []byte) []byte {
	if c.in(50) {
		b = make([]byte, 1<<(16+c.IntN(11))) // up to 64 MiB
	}
	z := gzipped(b)
	if c.in(8) {
		z = c.mutated(z)
	}
	return z
}

// header returns some header fields of a request.
func (c chance) header() map[string][]string {
	names := []string{
		"Content-Type", "Content-Encoding", "Connect-Content-Encoding", "Connect-Accept-Encoding", "Connect-Timeout-Ms", "Connect-Protocol-Version",
		"Grpc-Timeout", "Grpc-Encoding", "Grpc-Accept-Encoding", "Accept-Encoding", "Te", "X-Fuzz", "User-Agent", "Origin", "Sec-Fetch-Site", "Expect", "Traceparent",
	}
	values := []string{
		"", "0", "1", "-1", "99999999999999999999", "1n", "1H", "gzip", "zstd", "identity", "gzip, br", "application/json", "application/proto",
		"application/connect+proto", "application/grpc", "application/grpc-web+json", "trailers", "http://evil.example", "cross-site", "100-continue",
	}
	h := make(map[string][]string)
	for c.in(2) && len(h) < 6 {
		v := values[c.IntN(len(values))]
		if c.in(20) {
			v = strings.Repeat("h", 1<<c.IntN(17))
		}
		h[names[c.IntN(len(names))]] = []string{v}
	}
	return h
}

// envelopes returns messages of a stream, with flags and lengths that can be
// false.
func (c chance) envelopes(messages ...[]byte) []byte {
	var b []byte
	for _, m := range messages {
		n := uint32(len(m))
		if c.in(10) {
			n = uint32(c.number())
		}
		flags := byte(0)
		if c.in(5) {
			flags = byte(c.Uint32())
		}
		b = append(binary.BigEndian.AppendUint32(append(b, flags), n), m...)
	}
	return b
}
