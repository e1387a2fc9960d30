package input_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/decorate/input"
)

// repeat returns an array of n equal items.
func repeat(item string, n int) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// read reads an input. ok is false if it is refused, and e says why.
func read(t *testing.T, text string) (e input.Error, ok bool) {
	t.Helper()
	err := input.NewDocument().Read(t.Context(), []byte(text))
	if err == nil {
		return input.Error{}, true
	}
	refused, is := errors.AsType[*input.Error](err)
	if !is {
		t.Fatal(err)
	}
	return *refused, false
}

func TestNumbersAreAdmittedByTheirDigitsAndExponent(t *testing.T) {
	for _, n := range []string{
		"0", "-0", "1e0", "1E+2", "18446744073709551616", "-9223372036854775808", "1e308", "1.7976931348623157e308", "5e-324", "0.1", "3.141592653589793238462643383279",
		"1e400", "1e-400", strings.Repeat("9", 617), "0." + strings.Repeat("0", 323) + "49406564584124654",
	} {
		if e, ok := read(t, `{"n":`+n+`}`); !ok {
			t.Errorf("%.40s is refused: %s", n, e.Text)
		}
	}
	for _, n := range []string{
		"1e401", "1e-401", "1e999990", "1E+999999999999999999999", "-1e-999999", "0e999999", "1e00000000000000000000", strings.Repeat("9", 801), "0." + strings.Repeat("1", 1000),
	} {
		e, ok := read(t, `{"n":`+n+`}`)
		if ok || e.Field != "n" || e.Limit == "" || e.Actual == "" {
			t.Errorf("%.40s is accepted (%v), or refused without a reason: %+v", n, ok, e)
		}
		if len(e.Text) > 250 {
			t.Errorf("what is said of %.40s has %d bytes", n, len(e.Text))
		}
	}
}

func TestInputsAreBoundedBeforeASchemaSeesThem(t *testing.T) {
	for name, tt := range map[string]struct{ input, text, limit string }{
		"depth of arrays":  {strings.Repeat("[", 100_000), "nests more than 256 deep", "256"},
		"depth of objects": {strings.Repeat(`{"a":`, 100_000), "nests more than 256 deep", "256"},
		"values":           {repeat("0", 600_000), "more than 500000 values", "500000"},
		"not a number":     {`[NaN]`, "invalid character 'N'", ""},
		"no number":        {`[1.]`, "invalid character ']'", ""},
		"Infinity":         {`[-Infinity]`, "invalid character 'I'", ""},
		"control":          {"[\"\x01\"]", "invalid character", ""},
	} {
		if e, ok := read(t, tt.input); ok || !strings.Contains(e.Text, tt.text) || e.Limit != tt.limit {
			t.Errorf("%s is accepted (%v), or refused as %+v", name, ok, e)
		}
	}
}

// The guest might read one of the two values and the schema the other.
func TestANameThatStandsTwiceIsRefused(t *testing.T) {
	many := new(strings.Builder)
	for i := range 1000 {
		fmt.Fprintf(many, `"k%d":0,`, i)
	}
	for text, field := range map[string]string{
		`{"amount":-5,"amount":5}`:                     "amount",
		`{"amount":-5,"\u0061mount":5}`:                "amount",
		`{"a":{"b":[{"x":1,"y":2,"x":3}]}}`:            "a.b[0].x",
		`{` + many.String() + `"k7":1}`:                "k7",
		`{` + many.String() + `"\u006b7":1,"k1000":0}`: "k7",
	} {
		if e, ok := read(t, text); ok || e.Field != field {
			t.Errorf("%.60s is accepted (%v), or refused as %+v", text, ok, e)
		}
	}
	if e, ok := read(t, `{`+many.String()+`"other":{"k1":0},"amount":1}`); !ok {
		t.Error(e.Text)
	}
}

func TestReadingAnInputTakesFewTimesItsSize(t *testing.T) {
	object := new(strings.Builder)
	for i := range 200_000 {
		fmt.Fprintf(object, `"%06d":0,`, i)
	}
	for name, text := range map[string]string{
		"4 MiB of zeros": repeat("0", 2<<20-1), "just under the limit": repeat("0", 490_000), "empty objects": repeat("{}", 400_000),
		"names": "[{" + strings.TrimSuffix(object.String(), ",") + "}]", "commas in a string": `["` + strings.Repeat(",", 4<<20-4) + `"]`,
	} {
		got := allocated(func() { _ = input.NewDocument().Read(t.Context(), []byte(text)) }) - uint64(len(text))
		if got > 20<<20 {
			t.Errorf("%s: %d bytes of input allocate %d MiB", name, len(text), got>>20)
		}
	}
}
