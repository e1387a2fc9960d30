//go:build hostile

package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// answered bounds the time until a bad input is answered, on a machine with
// other load. On its own it takes a few milliseconds.
const answered = time.Second

// maxAnswer bounds the size of the answer to a bad input.
const maxAnswer = 8 << 10

// setSchema stores a decorator with an input schema.
func (b *bout) setSchema(ctx context.Context, name, schema string) error {
	s := new(structpb.Struct)
	if err := s.UnmarshalJSON([]byte(schema)); err != nil {
		b.Errorf("the schema is not JSON: %v", err)
		return nil
	}
	d := &ruedov1.Decorator{Name: name, InputSchema: s}
	if _, err := b.client.Decorators.GetDecorator(ctx, &ruedov1.GetDecoratorRequest{Name: name}); err == nil {
		_, err = b.client.Decorators.UpdateDecorator(ctx, &ruedov1.UpdateDecoratorRequest{Decorator: d})
		return err
	}
	_, err := b.client.Decorators.CreateDecorator(ctx, &ruedov1.CreateDecoratorRequest{Decorator: d})
	return err
}

// mustAccept publishes an echo whose input has to match a schema.
func (b *bout) mustAccept(service, schema string) {
	if err := b.setSchema(b.ctx, service, schema); err != nil {
		b.Errorf("decorator: %v", err)
		return
	}
	if err := b.publish(b.ctx, service, ruedotest.Echo(), nil, carrying(service)); err != nil {
		b.Errorf("publish: %v", err)
	}
}

// carrying attaches a decorator to the services that are published.
func carrying(decorator string) func(*ruedov1.PublishServiceRequest) {
	return func(req *ruedov1.PublishServiceRequest) { req.Decorators = []string{decorator} }
}

// post calls a service through the gateway and returns the answer.
func (b *bout) post(ctx context.Context, service, contentType string, input []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/call/"+service, bytes.NewReader(input))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, 4<<20))
	return res.StatusCode, answer, err
}

// badInput calls a service in both ways; each must refuse the input quickly and
// briefly.
func (b *bout) badInput(service, contentType string, input []byte, want expect) {
	began := time.Now()
	_, err := b.call(service, input)
	b.bounded("the answer of Invoke", time.Since(began), answered)
	b.check("Invoke", err, want)
	if n := len(everything(err)); err != nil && n > 4*maxAnswer { // each text appears in it several times
		b.Errorf("Invoke: the answer has %d bytes", n)
	}
	began = time.Now()
	status, answer, err := b.post(b.ctx, service, contentType, input)
	b.bounded("the answer of /call", time.Since(began), answered)
	if err != nil {
		b.Errorf("/call: %v", err)
		return
	}
	var failure struct{ Reason, Message string }
	if err := json.Unmarshal(answer, &failure); err != nil || failure.Reason != string(want.reason) || status != http.StatusBadRequest {
		b.Errorf("/call: got %d %.300s, want %s", status, answer, want.reason)
	}
	if len(answer) > maxAnswer {
		b.Errorf("/call: the answer has %d bytes", len(answer))
	}
}

func again(item string, n int) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }

// inputRow is row 37: hostile JSON inputs. The last moves are callers that do
// not wait for the answer.
func inputRow() *row {
	refused := func(text string, meta ...string) expect {
		e := expect{reason: fault.InputInvalid, text: []string{text}}
		for i := 0; i+1 < len(meta); i += 2 {
			if e.meta == nil {
				e.meta = make(map[string]string)
			}
			e.meta[meta[i]] = meta[i+1]
		}
		return e
	}
	exponent := refused("exponent 999990", "limit", "400", "actual", "999990")
	exponents := again("1e999990", 20)
	unknown := new(strings.Builder)
	for i := range 30_000 {
		fmt.Fprintf(unknown, `"unknown-%d":0,`, i)
	}
	type bad struct {
		name, service, contentType, input string
		want                              expect
	}
	const amounts, form, list = "amounts", "form", "list"
	inputs := []bad{
		{"exponent", form, "application/json", `{"n":1e999990,"name":"a"}`, exponent},
		{"exponents", amounts, "application/json", exponents, exponent},
		{"negative exponents", amounts, "application/json", again("1e-999990", 20), refused("exponent -999990")},
		{"endless exponent", amounts, "application/json", again("1e9999999999999999999999", 20), refused("exponent")},
		{"1e999", form, "application/json", `{"n":1e999}`, refused("exponent 999")},
		{"100,000 digits", form, "application/json", `{"n":` + strings.Repeat("9", 100_000) + `}`, refused("digits", "limit", "800", "actual", "100000")},
		{"2^64", form, "application/json", `{"n":18446744073709551616,"name":"a"}`, refused("1 field")},
		{"NaN", form, "application/json", `{"n":NaN}`, refused("invalid character")},
		{"Infinity", form, "application/json", `{"n":-Infinity}`, refused("invalid character")},
		{"arrays 100,000 deep", form, "application/json", strings.Repeat("[", 100_000), refused("256", "limit", "256")},
		{"objects 100,000 deep", form, "application/json", strings.Repeat(`{"a":`, 100_000), refused("256", "limit", "256")},
		{"a name twice", form, "application/json", `{"name":"a","name":"b"}`, refused("more than once")},
		{"an unknown field", form, "application/json", `{"name":"a","nme":"b"}`, refused("1 field")},
		{"30,000 unknown fields", form, "application/json", "{" + strings.TrimSuffix(unknown.String(), ",") + "}", refused("at least 64 fields")},
		{"a name of 100 KB", form, "application/json", `{"` + strings.Repeat("k", 100<<10) + `":0}`, refused("fields")},
		{"510,000 zeros", list, "application/json", again("0", 510_000), refused("500000 values", "limit", "500000")},
		{"150,000 wrong items", list, "application/json", again("0", 150_000), refused("at least")},
		{"not JSON", form, "application/x-protobuf", "\x0a\x05hello", refused("not JSON")},
		{"not even text", form, "image/png", "\x89PNG\r\n\x1a\n", refused("not JSON")},
		{"two values", form, "application/json", `{"name":"a"} {"name":"b"}`, refused("follows")},
		{"a pattern over 400 KB", "pattern", "application/json", `"` + strings.Repeat("x", 400<<10) + `"`, refused("units of work", "limit", "3000000")},
		{"branches that double", "tree", "application/json", strings.Repeat("[", 200) + strings.Repeat("]", 200), refused("units of work", "limit", "3000000")},
	}
	r := &row{number: 37, name: "hostile JSON to a typed service", once: true, atOnce: 1, peakCore: 128 << 20, setup: func(b *bout) {
		b.mustAccept(b.service(form), `{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"n":{"type":"integer","minimum":0,"maximum":9007199254740991}},"additionalProperties":false}`)
		b.mustAccept(b.service(amounts), `{"type":"array","items":{"type":"integer","minimum":0,"maximum":100,"multipleOf":3}}`)
		b.mustAccept(b.service(list), `{"type":"array","items":{"type":"string","maxLength":10}}`)
		b.mustAccept(b.service("pattern"), `{"pattern":"(x+x+x+x+x+x+)+y"}`)
		b.mustAccept(b.service("tree"), `{"$ref":"#/$defs/a","$defs":{"a":{"oneOf":[{"type":"array","items":{"$ref":"#/$defs/a"}},{"type":"array","items":{"$ref":"#/$defs/a"},"minItems":1}]}}}`)
	}}
	for _, in := range inputs {
		r.moves = append(r.moves, move{in.name, func(b *bout) { b.badInput(b.service(in.service), in.contentType, []byte(in.input), in.want) }})
	}
	r.moves = append(r.moves, move{"typed, an exponent that no double has", func(b *bout) {
		req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, b.url+"/ruedo.v1.InvokeService/Invoke", strings.NewReader(`{"service":"`+b.service(form)+`","input":{"n":1e999990}}`))
		if err != nil {
			b.Errorf("%v", err)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Errorf("%v", err)
			return
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			b.Errorf("got %s", res.Status)
		}
	}}, move{"callers that leave", func(b *bout) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(b.ctx, 5*time.Millisecond)
				defer cancel()
				_, _, _ = b.post(ctx, b.service("tree"), "application/json", []byte(strings.Repeat("[", 200)+strings.Repeat("]", 200)))
			})
		}
		wg.Wait()
	}})
	return r
}
