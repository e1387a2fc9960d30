package decorate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// tree turns what was read into what encoding/json would have made of it.
func (d *document) tree(at uint32) any {
	v := &d.values[at]
	switch v.kind {
	case kindNull:
		return nil
	case kindFalse, kindTrue:
		return v.kind == kindTrue
	case kindNumber:
		return json.Number(d.raw[v.from:v.to])
	case kindArray:
		list := []any{}
		for i, item := uint32(0), at+1; i < v.count; i, item = i+1, d.values[item].next {
			list = append(list, d.tree(item))
		}
		return list
	case kindObject:
		object := map[string]any{}
		for i, key := uint32(0), at+1; i < v.count; i, key = i+1, d.values[key+1].next {
			object[string(d.text(key))] = d.tree(key + 1)
		}
		return object
	}
	return string(d.text(at))
}

func decode(text []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err == nil || err.Error() != "EOF" {
		return nil, errors.New("something follows")
	}
	return v, nil
}

// What is accepted, encoding/json accepts with the same value; what is refused
// and is JSON is over a bound, or has a name twice.
func FuzzInput(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,2.50,-0e3,1e-5],"b":{"c":null,"d":true,"e":false}}`, ` [ ] `, `"\u00e9\ud83d\ude00\ud83d \ude00\u0000\n\/"`, "\"\xff\xc0\"", `{"a":1,"\u0061":2}`, `[1e999]`,
		`{"":{"":{}}}`, `01`, `1.`, `-`, `[1,]`, `{"a"}`, `nul`, "\x00", `1 2`, strings.Repeat("[", 300) + strings.Repeat("]", 300), `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"a":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		d := document{seed: maphash.MakeSeed()}
		err := d.read(context.Background(), input)
		want, jsonErr := decode(input)
		if err == nil {
			if jsonErr != nil {
				t.Fatalf("%q is accepted; encoding/json says %v", input, jsonErr)
			}
			if got := d.tree(0); !reflect.DeepEqual(got, want) {
				t.Fatalf("%q is %v, and %v to encoding/json", input, got, want)
			}
			return
		}
		if ie, ok := errors.AsType[*inputError](err); !ok || ie.limit == "" && jsonErr == nil || len(err.Error()) > 300 || len(ie.field) > 200 {
			t.Fatalf("%q: %v; encoding/json says %v", input, err, jsonErr)
		}
	})
}

// Numbers are compared as exactly as big.Rat does it.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "0.0", "1e2", "100", "0.1", "1e-1", "3.14", "12345678901234567890.123", "5e-324", "1e308", "0.01", "7"} {
		f.Add(s, "0.01")
		f.Add("-"+s, "1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var rats [2]*big.Rat
		var decimals [2]decimal
		var scratch [2][maxDigits]byte
		for i, s := range []string{a, b} {
			d := document{seed: maphash.MakeSeed()}
			if d.read(context.Background(), []byte(s)) != nil || d.values[0].kind != kindNumber {
				return
			}
			literal := d.raw[d.values[0].from:d.values[0].to]
			rats[i], _ = new(big.Rat).SetString(string(literal))
			decimals[i] = parseDecimal(literal, &scratch[i])
		}
		if got, want := decimals[0].compare(decimals[1]), rats[0].Cmp(rats[1]); got != want {
			t.Errorf("compare %s and %s: %d, want %d", a, b, got, want)
		}
		if got, want := decimals[0].integer(), rats[0].IsInt(); got != want {
			t.Errorf("%s is an integer: %v, want %v", a, got, want)
		}
		if rats[1].Sign() != 0 {
			if got, want := decimals[0].multiple(decimals[1]), new(big.Rat).Quo(rats[0], rats[1]).IsInt(); got != want {
				t.Errorf("%s is a multiple of %s: %v, want %v", a, b, got, want)
			}
		}
		double, _ := rats[1].Float64()
		quick, ok := quickFloat([]byte(strings.TrimSpace(a)))
		if nearest, _ := rats[0].Float64(); ok && quick != nearest {
			t.Errorf("%s is near %v, want %v", a, quick, nearest)
		}
		// The order of doubles, where they differ, is that of the numbers.
		if ok && quick < double && rats[0].Cmp(rats[1]) >= 0 || ok && quick > double && rats[0].Cmp(rats[1]) <= 0 {
			t.Errorf("%s and %s are ordered otherwise than %v and %v", a, b, quick, double)
		}
	})
}

// A schema that is admitted says of an input what the library says, within its
// budget, and with an answer that is small.
func FuzzSchema(f *testing.F) {
	for _, s := range []struct{ schema, input string }{
		{`{"type":"object","required":["a"],"properties":{"a":{"type":"integer","minimum":0},"b":{"enum":[1,"x",null,[1,{"c":2}]]}},"additionalProperties":false}`, `{"a":1,"b":[1.0,{"c":2}]}`},
		{`{"oneOf":[{"type":"string","maxLength":3},{"items":{"$ref":"#"},"type":"array","uniqueItems":true}]}`, `["a",["b","é"],[1,1.0]]`},
		{`{"$defs":{"n":{"allOf":[{"properties":{"l":{"$ref":"#/$defs/n"}}},{"properties":{"r":{"$ref":"#/$defs/n"}}}],"unevaluatedProperties":false}},"$ref":"#/$defs/n"}`, `{"l":{"r":{}},"r":{"x":1}}`},
		{`{"if":{"properties":{"k":{"const":1}}},"then":{"required":["v"]},"else":{"not":{"required":["v"]}},"dependentRequired":{"a":["b"]},"dependentSchemas":{"b":{"minProperties":3}},"propertyNames":{"pattern":"^[a-z]$"}}`, `{"k":2,"a":1,"b":2}`},
		{`{"prefixItems":[{"type":"null"}],"items":{"multipleOf":0.01},"contains":{"exclusiveMaximum":5},"minContains":2,"maxContains":3,"unevaluatedItems":false}`, `[null,1.25,4.999,12]`},
		{`{"patternProperties":{"^x":{"format":"email"}},"anyOf":[{"$ref":"#/$defs/a"},{"$anchor":"b","maxProperties":1}],"$defs":{"a":{"$ref":"#b"}},"not":{"minProperties":4}}`, `{"xa":"a@b.c","y":0}`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"a":{"items":[{"type":"number"}],"additionalItems":{"type":"string"}}},"properties":{"q":{"$ref":"#/definitions/a"}},"dependencies":{"q":["r"],"r":{"required":["s"]}}}`, `{"q":[1,"a"],"r":0}`},
		{`{"$schema":"http://json-schema.org/draft-04/schema#","minimum":3,"exclusiveMinimum":true}`, `3`},
		{`{"$dynamicAnchor":"n","properties":{"c":{"items":{"$dynamicRef":"#n"}}},"unevaluatedProperties":{"type":"boolean"}}`, `{"c":[{"x":true},{"y":1}]}`},
		{`{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"}]}}}`, `1`},
	} {
		f.Add([]byte(s.schema), []byte(s.input))
	}
	f.Fuzz(func(t *testing.T, schemaText, input []byte) {
		source := new(structpb.Struct)
		if len(schemaText) > 4<<10 || len(input) > 4<<10 || source.UnmarshalJSON(schemaText) != nil {
			return
		}
		d, err := Compile(t.Context(), &ruedov1.Decorator{Name: "d", InputSchema: source})
		if err != nil {
			if r := fault.ReasonOf(err); r != fault.SchemaInvalid && r != fault.SchemaLimit && r != fault.SchemaRemoteRef || len(err.Error()) > 1000 {
				t.Fatalf("%s: %s %v", schemaText, r, err)
			}
			return
		}
		c := NewCompiler().newChecker(t.Context())
		if c.read(t.Context(), input) != nil {
			return
		}
		value, err := decode(input)
		if err != nil {
			t.Fatal(err)
		}
		fits := c.check(d.schema.shared.rule, 0, false, nil)
		if c.stopped != nil && c.stopped != errEnough {
			// Only a schema that is checked again and again on its way down comes to
			// its limits with so small an input.
			return
		}
		if fits && len(c.fields) > 0 || !fits && len(c.fields) == 0 {
			t.Fatalf("%s: %s: fits %v, fields %v", schemaText, input, fits, c.fields)
		}
		quiet := NewCompiler().newChecker(t.Context())
		_ = quiet.read(t.Context(), input)
		if quiet.check(d.schema.shared.rule, 0, true, nil) != fits && quiet.stopped == nil {
			t.Fatalf("%s: %s: fits %v, and not so if nobody asks why", schemaText, input, fits)
		}
		if quiet.stopped == nil && maxWork-quiet.left > maxWork/10 {
			return // the library would take its time
		}
		library, known := libraryOf(source)
		if known && (library.Validate(value) == nil) != fits {
			t.Fatalf("%s: %s: fits %v, and not so to the library", schemaText, input, fits)
		}
	})
}

// libraryOf compiles a schema with the library alone. It does not if the library
// is known to see it otherwise: before 2019-09 it goes on to look at some
// keywords next to a reference, and it takes what it cannot decide for wrong.
func libraryOf(source *structpb.Struct) (*jsonschema.Schema, bool) {
	text, err := json.Marshal(source.AsMap())
	if err != nil {
		return nil, false
	}
	if bytes.Contains(text, []byte("draft-0")) && bytes.Contains(text, []byte("$ref")) {
		return nil, false
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, false
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	if c.AddResource(root, doc) != nil {
		return nil, false
	}
	s, err := c.Compile(root)
	return s, err == nil
}
