//go:build hostile

package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// messageSize is a little less than the largest message of a request.
const messageSize = 8<<20 - 1<<10

// jsonText is JSON of about n bytes.
type jsonText struct{ name, open, item, end string }

func (v jsonText) of(n int) string {
	return v.open + strings.Repeat(v.item, (n-len(v.open)-len(v.end))/len(v.item)) + v.end
}

// jsonTexts take much memory once they are decoded.
var jsonTexts = []jsonText{
	{"numbers", "[", "0,", "0]"},
	{"empty objects", "[", "{},", "{}]"},
	{"empty strings", "[", `"",`, `""]`},
	{"lists in lists", "", "[", ""},
	{"objects in objects", "", `{"a":`, ""},
	{"a long string", `"`, "x", `"`},
	{"escapes", `"`, `\u0000`, `"`},
}

// field returns a length-delimited protobuf field.
func field(number protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), b)
}

// emptyValues is a google.protobuf.Value of n bytes: a list of values of 2
// bytes each. Each becomes a message when it is decoded.
func emptyValues(n int) []byte { return field(6, bytes.Repeat(field(1, nil), n/2)) }

// deepValues is a google.protobuf.Value of n nested lists.
func deepValues(n int) []byte {
	// The lengths of their contents, from the innermost.
	values, lists := make([]int, n), make([]int, n)
	size := 0
	for i := range n {
		values[i] = size
		lists[i] = protowire.SizeTag(1) + protowire.SizeBytes(size)
		size = protowire.SizeTag(6) + protowire.SizeBytes(lists[i])
	}
	b := make([]byte, 0, size)
	for i := n - 1; i >= 0; i-- {
		b = protowire.AppendVarint(protowire.AppendTag(b, 6, protowire.BytesType), uint64(lists[i]))
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.BytesType), uint64(values[i]))
	}
	return b
}

// zeros is a guest whose output is a JSON list of 4 MiB: [0,0,...,0].
func zeros() []byte {
	const n = 4<<20 - 1
	const copyMemory = "\xfc\x0a\x00\x00"
	code := w.Cat(w.I32(n>>16+1), opMemoryGrow, w.Drop(), store(1, 0x2c302c30)) // "0,0,"
	for size := int32(4); size < n; size *= 2 {
		code = w.Cat(code, w.I32(1+size), w.I32(1), w.I32(min(size, n-1-size)), []byte(copyMemory))
	}
	code = w.Cat(code, w.I32(0), w.I32('['), w.Ops(0x3a, 0, 0), w.I32(n-1), w.I32(']'), w.Ops(0x3a, 0, 0), w.CallWith(0, 0, n), w.Drop(), w.I32(0))
	return w.FunctionWith([]string{outputWrite}, code).Bytes()
}

// valueRow is row 45: values that are small to send and large to hold.
func valueRow() *row {
	invoke := procedure{path: ruedov1connect.InvokeServiceInvokeProcedure}
	create := procedure{path: ruedov1connect.DecoratorServiceCreateDecoratorProcedure}
	refusals := []connect.Code{connect.CodeResourceExhausted, connect.CodeInvalidArgument}
	// together makes a number of identical requests at the same time.
	together := func(b *bout, n int, p procedure, s speech, message []byte, also ...connect.Code) {
		h := newPeer(b.url, false)
		defer h.close()
		began, used := time.Now(), b.core.cpu()
		var wg sync.WaitGroup
		var mu sync.Mutex
		counts := make(map[connect.Code]int)
		for range n {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
				defer cancel()
				r := h.call(ctx, p, s, nil, message)
				var code connect.Code
				if r.err != nil || len(also) == 0 {
					b.failed(s.String(), r, append(refusals, also...)...)
					code = connect.CodeOf(r.err)
				}
				mu.Lock()
				defer mu.Unlock()
				counts[code]++
			})
		}
		wg.Wait()
		b.note("%s, %d at a time: %v in %s, %s of CPU", s, n, counts, ms(time.Since(began)), ms(b.core.cpu()-used))
	}
	// typed is a well-behaved client with small values.
	typed := func(b *bout) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			h := newPeer(b.url, false)
			defer h.close()
			return h.call(ctx, invoke, speech{"connect", "json", false}, nil, []byte(`{"service":"`+victimName+`","input":{"n":1}}`)).err
		}
	}
	r := &row{
		number: 45, name: "values of 8 MB, and answers of 4 MB as values", once: true, atOnce: 4,
		setup: func(b *bout) {
			b.mustPublish(b.service("zeros"), zeros(), 10*time.Second)
			if res, err := b.client.Call(b.ctx, b.service("zeros"), nil); err != nil || len(res.Output) < 4_000_000 || !json.Valid(res.Output) {
				b.Errorf("the guest does not answer as it should: %v", err)
			}
		},
		peakCore: 300 << 20,
	}
	add := func(name string, n int, p procedure, codec string, message func() []byte) {
		for _, packed := range []bool{false, true} {
			s := speech{"connect", codec, packed}
			r.moves = append(r.moves, move{name + ", " + s.String(), func(b *bout) {
				m := message()
				if packed {
					m = gzipped(m)
				}
				b.wellServed(10*time.Second, typed(b), func() { together(b, n, p, s, m) })
			}})
		}
	}
	for _, v := range jsonTexts {
		add("a call with "+v.name, 8, invoke, "json", func() []byte {
			return []byte(`{"service":"` + victimName + `","input":` + v.of(messageSize) + `}`)
		})
	}
	add("50 calls with numbers", 50, invoke, "json", func() []byte {
		return []byte(`{"service":"` + victimName + `","input":` + jsonTexts[0].of(messageSize) + `}`)
	})
	withValue := func(v []byte) func() []byte {
		return func() []byte { return slices.Concat(field(1, []byte(victimName)), field(2, v)) }
	}
	add("a call with empty values", 8, invoke, "proto", withValue(emptyValues(messageSize)))
	add("a call with lists in lists", 8, invoke, "proto", withValue(deepValues(100_000)))
	// A decorator, its schema, a field of it: decorator=1, input_schema=4, fields=1
	// with key=1 and value=2.
	add("a decorator with empty values", 8, create, "proto", func() []byte {
		return field(1, slices.Concat(field(1, []byte("row-45")), field(4, field(1, slices.Concat(field(1, []byte("enum")), field(2, emptyValues(messageSize)))))))
	})
	add("a decorator with numbers", 8, create, "json", func() []byte {
		return []byte(`{"decorator":{"name":"row-45","inputSchema":{"enum":` + jsonTexts[0].of(messageSize) + `}}}`)
	})
	// The cost of the same bytes if they are not parsed.
	bodies := r.moves
	r.control = func(b *bout) {
		besideASink(b, bodies)
		for range 2 {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if _, err := b.client.Call(b.ctx, b.service("zeros"), nil); err != nil {
						b.Errorf("an answer as bytes: %v", err)
					}
				})
			}
			wg.Wait()
		}
	}
	for _, codec := range []string{"json", "proto"} {
		r.moves = append(r.moves, move{"answers as values, " + codec, func(b *bout) {
			message := []byte(`{"service":"` + b.service("zeros") + `","input":0}`)
			if codec == "proto" {
				message = slices.Concat(field(1, []byte(b.service("zeros"))), field(2, protowire.AppendFixed64(protowire.AppendTag(nil, 2, protowire.Fixed64Type), 0)))
			}
			b.wellServed(10*time.Second, typed(b), func() {
				together(b, 8, invoke, speech{"connect", codec, false}, message, connect.CodeResourceExhausted)
			})
		}})
	}
	return r
}
