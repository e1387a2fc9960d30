package input

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

// tree returns the value that encoding/json would have returned.
func (d *Document) tree(at uint32) any {
	v := &d.values[at]
	switch v.kind {
	case Null:
		return nil
	case False, True:
		return v.kind == True
	case Number:
		return json.Number(d.raw[v.from:v.to])
	case Array:
		list := []any{}
		for i, item := uint32(0), at+1; i < v.count; i, item = i+1, d.values[item].next {
			list = append(list, d.tree(item))
		}
		return list
	case Object:
		object := map[string]any{}
		for i, key := uint32(0), at+1; i < v.count; i, key = i+1, d.values[key+1].next {
			object[string(d.Text(key))] = d.tree(key + 1)
		}
		return object
	}
	return string(d.Text(at))
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

// If an input is accepted, encoding/json accepts it with the same value. If
// valid JSON is refused, it exceeds a bound or has a name twice.
func FuzzInput(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,2.50,-0e3,1e-5],"b":{"c":null,"d":true,"e":false}}`, ` [ ] `, `"\u00e9\ud83d\ude00\ud83d \ude00\u0000\n\/"`, "\"\xff\xc0\"", `{"a":1,"\u0061":2}`, `[1e999]`,
		`{"":{"":{}}}`, `01`, `1.`, `-`, `[1,]`, `{"a"}`, `nul`, "\x00", `1 2`, strings.Repeat("[", 300) + strings.Repeat("]", 300), `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"a":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		d := NewDocument()
		err := d.Read(context.Background(), input)
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
		if ie, ok := errors.AsType[*Error](err); !ok || ie.Limit == "" && jsonErr == nil || len(err.Error()) > 300 || len(ie.Field) > 200 {
			t.Fatalf("%q: %v; encoding/json says %v", input, err, jsonErr)
		}
	})
}

// Numbers are compared as exactly as big.Rat compares them.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "0.0", "1e2", "100", "0.1", "1e-1", "3.14", "12345678901234567890.123", "5e-324", "1e308", "0.01", "7"} {
		f.Add(s, "0.01")
		f.Add("-"+s, "1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var rats [2]*big.Rat
		var decimals [2]Decimal
		var scratch [2]Digits
		for i, s := range []string{a, b} {
			d := NewDocument()
			if d.Read(context.Background(), []byte(s)) != nil || d.values[0].kind != Number {
				return
			}
			literal := d.raw[d.values[0].from:d.values[0].to]
			rats[i], _ = new(big.Rat).SetString(string(literal))
			decimals[i] = ParseDecimal(literal, &scratch[i])
		}
		if got, want := decimals[0].Compare(decimals[1]), rats[0].Cmp(rats[1]); got != want {
			t.Errorf("compare %s and %s: %d, want %d", a, b, got, want)
		}
		if got, want := decimals[0].Integer(), rats[0].IsInt(); got != want {
			t.Errorf("%s is an integer: %v, want %v", a, got, want)
		}
		if rats[1].Sign() != 0 {
			if got, want := decimals[0].MultipleOf(decimals[1]), new(big.Rat).Quo(rats[0], rats[1]).IsInt(); got != want {
				t.Errorf("%s is a multiple of %s: %v, want %v", a, b, got, want)
			}
		}
		double, _ := rats[1].Float64()
		quick, ok := Float([]byte(strings.TrimSpace(a)))
		if nearest, _ := rats[0].Float64(); ok && quick != nearest {
			t.Errorf("%s is near %v, want %v", a, quick, nearest)
		}
		// The order of doubles, where they differ, is that of the numbers.
		if ok && quick < double && rats[0].Cmp(rats[1]) >= 0 || ok && quick > double && rats[0].Cmp(rats[1]) <= 0 {
			t.Errorf("%s and %s are ordered otherwise than %v and %v", a, b, quick, double)
		}
	})
}
