package decorate_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/decorate"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// rulesOf are the rules of one decorator with this schema.
func rulesOf(t testing.TB, schema string) *decorate.Rules {
	t.Helper()
	return decorate.Combine([]*decorate.Decorator{compile(t, &ruedov1.Decorator{Name: "d", InputSchema: schemaOf(t, schema)})})
}

// repeat makes an array of n times the same item.
func repeat(item string, n int) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestNumbersAreAdmittedByTheirDigitsAndExponent(t *testing.T) {
	rules := rulesOf(t, `{"properties":{"n":{"type":"number"}}}`)
	for _, n := range []string{
		"0", "-0", "1e0", "1E+2", "18446744073709551616", "-9223372036854775808", "1e308", "1.7976931348623157e308", "5e-324", "0.1", "3.141592653589793238462643383279",
		"1e400", "1e-400", strings.Repeat("9", 617), "0." + strings.Repeat("0", 323) + "49406564584124654",
	} {
		if err := rules.Check(t.Context(), "s", []byte(`{"n":`+n+`}`)); err != nil {
			t.Errorf("%.40s is refused: %v", n, err)
		}
	}
	for _, n := range []string{
		"1e401", "1e-401", "1e999990", "1E+999999999999999999999", "-1e-999999", "0e999999", "1e00000000000000000000", strings.Repeat("9", 801), "0." + strings.Repeat("1", 1000),
	} {
		// Where no schema looks at it, too.
		for _, field := range []string{"n", "other"} {
			err := rules.Check(t.Context(), "s", []byte(`{"`+field+`":`+n+`}`))
			e := fault.Of(err)
			if !errors.Is(err, fault.InputInvalid) || len(e.Fields) != 1 || e.Fields[0].Path != field || e.Meta["limit"] == "" || e.Meta["actual"] == "" {
				t.Errorf("%.40s in %s: %v, fields %v, meta %v", n, field, err, e.Fields, e.Meta)
			}
			if len(err.Error()) > 300 {
				t.Errorf("the answer to %.40s has %d bytes", n, len(err.Error()))
			}
		}
	}
}

func TestHugeExponentsCostNothing(t *testing.T) {
	rules := rulesOf(t, `{"type":"array","items":{"type":"integer","minimum":0,"maximum":100,"multipleOf":3}}`)
	input := []byte(repeat("1e999990", 20))
	got := allocated(func() {
		if err := rules.Check(t.Context(), "s", input); !errors.Is(err, fault.InputInvalid) {
			t.Errorf("err = %v", err)
		}
	})
	if got > 64<<10 {
		t.Errorf("%d bytes of input allocate %d bytes", len(input), got)
	}
}

func TestInputsAreBoundedBeforeASchemaSeesThem(t *testing.T) {
	rules := rulesOf(t, `{"description":"accepts everything","type":["array","object","string"]}`)
	for name, tt := range map[string]struct{ input, text, limit string }{
		"depth of arrays":  {strings.Repeat("[", 100_000), "nests more than 256 deep", "256"},
		"depth of objects": {strings.Repeat(`{"a":`, 100_000), "nests more than 256 deep", "256"},
		"values":           {repeat("0", 600_000), "more than 500000 values", "500000"},
		"not a number":     {`[NaN]`, "invalid character 'N'", ""},
		"no number":        {`[1.]`, "invalid character ']'", ""},
		"Infinity":         {`[-Infinity]`, "invalid character 'I'", ""},
		"control":          {"[\"\x01\"]", "invalid character", ""},
	} {
		err := rules.Check(t.Context(), "s", []byte(tt.input))
		if !errors.Is(err, fault.InputInvalid) || !strings.Contains(err.Error(), tt.text) || fault.Of(err).Meta["limit"] != tt.limit {
			t.Errorf("%s: %v, meta %v", name, err, fault.Of(err).Meta)
		}
	}
}

// The guest may read another one of the two than the schema did.
func TestANameThatStandsTwiceIsRefused(t *testing.T) {
	rules := rulesOf(t, `{"properties":{"amount":{"minimum":0}}}`)
	many := new(strings.Builder)
	for i := range 1000 {
		fmt.Fprintf(many, `"k%d":0,`, i)
	}
	for input, field := range map[string]string{
		`{"amount":-5,"amount":5}`:                     "amount",
		`{"amount":-5,"\u0061mount":5}`:                "amount",
		`{"a":{"b":[{"x":1,"y":2,"x":3}]}}`:            "a.b[0].x",
		`{` + many.String() + `"k7":1}`:                "k7",
		`{` + many.String() + `"\u006b7":1,"k1000":0}`: "k7",
	} {
		err := rules.Check(t.Context(), "s", []byte(input))
		if !errors.Is(err, fault.InputInvalid) || len(fault.Of(err).Fields) != 1 || fault.Of(err).Fields[0].Path != field {
			t.Errorf("%.60s: %v, fields %v", input, err, fault.Of(err).Fields)
		}
	}
	if err := rules.Check(t.Context(), "s", []byte(`{`+many.String()+`"other":{"k1":0},"amount":1}`)); err != nil {
		t.Error(err)
	}
}

func TestReadingAnInputTakesFewTimesItsSize(t *testing.T) {
	rules := rulesOf(t, `{"type":"array"}`)
	object := new(strings.Builder)
	for i := range 200_000 {
		fmt.Fprintf(object, `"%06d":0,`, i)
	}
	for name, input := range map[string]string{
		"4 MiB of zeros": repeat("0", 2<<20-1), "just under the limit": repeat("0", 490_000), "empty objects": repeat("{}", 400_000),
		"names": "[{" + strings.TrimSuffix(object.String(), ",") + "}]", "commas in a string": `["` + strings.Repeat(",", 4<<20-4) + `"]`,
	} {
		got := allocated(func() { _ = rules.Check(t.Context(), "s", []byte(input)) }) - uint64(len(input))
		if got > 20<<20 {
			t.Errorf("%s: %d bytes of input allocate %d MiB", name, len(input), got>>20)
		}
	}
}

func TestAnAnswerIsSmallWhateverTheInput(t *testing.T) {
	unknown := new(strings.Builder)
	for i := range 100_000 {
		fmt.Fprintf(unknown, `"unknown-%d":0,`, i)
	}
	long := strings.Repeat("é", 100_000)
	manyChoices := new(strings.Builder)
	for i := range 5_000 {
		fmt.Fprintf(manyChoices, `"choice-%d",`, i)
	}
	for name, tt := range map[string]struct{ schema, input string }{
		"unknown fields":        {`{"additionalProperties":false}`, "{" + strings.TrimSuffix(unknown.String(), ",") + "}"},
		"a long field":          {`{"additionalProperties":false}`, `{"` + long + `":0}`},
		"a long path":           {`{"additionalProperties":{"$ref":"#"},"type":"object"}`, strings.Repeat(`{"`+long[:200]+`":`, 200) + "0" + strings.Repeat("}", 200)},
		"a long number":         {`{"maximum":1}`, strings.Repeat("9", 800)},
		"wrong items":           {`{"items":{"type":"string"}}`, repeat("0", 400_000)},
		"a long enum":           {`{"enum":[` + strings.TrimSuffix(manyChoices.String(), ",") + `]}`, `"none of them"`},
		"a long choice":         {`{"enum":["` + long + `"]}`, `1`},
		"a long const":          {`{"const":{"a":"` + long + `"}}`, `1`},
		"a long pattern":        {`{"pattern":"^(` + strings.Repeat("a|", 900) + `b)$"}`, `"x"`},
		"many required":         {`{"required":[` + strings.TrimSuffix(manyChoices.String(), ",") + `]}`, `{}`},
		"a long dependency":     {`{"dependentRequired":{"a":["` + long[:2000] + `"]}}`, `{"a":1}`},
		"what a terminal obeys": {`{"additionalProperties":false}`, `{"\u001b[2Jx\u202e":0}`},
	} {
		err := rulesOf(t, tt.schema).Check(t.Context(), "s", []byte(tt.input))
		if !errors.Is(err, fault.InputInvalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		e := fault.Of(err)
		size := len(e.Message) + len(e.Fix)
		for _, f := range e.Fields {
			size += len(f.Path) + len(f.Description)
			if len(f.Path) > 200 || len(f.Description) > 200 || strings.ContainsAny(f.Path+f.Description, "\x1b\u202e") {
				t.Errorf("%s: %q: %q", name, f.Path, f.Description)
			}
		}
		if len(e.Fields) == 0 || len(e.Fields) > 64 || size > 5<<10 {
			t.Errorf("%s: %d fields, %d bytes", name, len(e.Fields), size)
		}
	}
}

// Each of these took seconds, gigabytes or for ever.
func TestNoInputCostsMoreThanItsBudget(t *testing.T) {
	tree := `{"$defs":{"a":{"oneOf":[{"type":"array","items":{"$ref":"#/$defs/a"}},{"type":"array","items":{"$ref":"#/$defs/a"},"minItems":1}]}},"$ref":"#/$defs/a"}`
	for name, tt := range map[string]struct{ schema, input string }{
		"branches that double at each level": {tree, strings.Repeat("[", 200) + strings.Repeat("]", 200)},
		"a pattern over a long text":         {`{"pattern":"(x+x+)+y"}`, `"` + strings.Repeat("x", 4<<20-2) + `"`},
		"a large pattern":                    {`{"pattern":"(a?){400}b"}`, `"` + strings.Repeat("a", 100_000) + `"`},
		"patterns of names":                  {`{"patternProperties":{"(.*a){20}b":true,"(.*b){20}c":true}}`, `{"` + strings.Repeat("a", 1<<20) + `":0}`},
		"unique items":                       {`{"uniqueItems":true}`, repeat(`{"a":[1,2,3]}`, 60_000)},
		"a large choice":                     {`{"items":{"enum":[{"a":1}]}}`, repeat(`{"a":2}`, 100_000)},
		"multiples":                          {`{"items":{"multipleOf":1e-300}}`, repeat("1e300", 400_000)},
		"regular expressions as input":       {`{"items":{"format":"regex"}}`, repeat(`"(?i)[\\pL\\pN]((a{100}){10}){10}"`, 50_000)},
		"unevaluated at each level":          {`{"$ref":"#/$defs/a","$defs":{"a":{"additionalProperties":{"$ref":"#/$defs/a"},"unevaluatedProperties":false,"allOf":[{"minProperties":0},{"maxProperties":9000000}]}}}`, strings.Repeat(`{"a":`, 200) + "{}" + strings.Repeat("}", 200)},
	} {
		rules := rulesOf(t, tt.schema)
		began := time.Now()
		var err error
		got := allocated(func() { err = rules.Check(t.Context(), "s", []byte(tt.input)) }) - uint64(len(tt.input))
		took := time.Since(began)
		if took > tooLong { // 50 ms on a processor of its own
			t.Errorf("%s took %s", name, took)
		}
		if got > 64<<20 {
			t.Errorf("%s allocates %d MiB", name, got>>20)
		}
		if err != nil && !errors.Is(err, fault.InputInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "units of work") && (fault.Of(err).Meta["limit"] == "" || fault.Of(err).Fix == "") {
			t.Errorf("%s: the answer lacks the limit or what to do: %v", name, err)
		}
	}
}

// leaving is a context whose caller goes away when it has been looked at often
// enough.
type leaving struct {
	context.Context
	looks int
}

func (l *leaving) Err() error {
	if l.looks--; l.looks < 0 {
		return context.Canceled
	}
	return nil
}

func TestACheckEndsWhenItsCallerIsGone(t *testing.T) {
	rules := rulesOf(t, `{"items":{"type":"integer","minimum":0}}`)
	input := []byte(repeat("1", 300_000))
	for _, looks := range []int{0, 1, 50, 200} {
		ctx := &leaving{t.Context(), looks}
		if err := rules.Check(ctx, "s", input); !errors.Is(err, context.Canceled) {
			t.Errorf("gone after %d looks: %v", looks, err)
		}
		if ctx.looks < -2 {
			t.Errorf("gone after %d looks, and looked %d times more", looks, -ctx.looks)
		}
	}
	if err := rules.Check(&leaving{t.Context(), 1 << 30}, "s", input); err != nil {
		t.Error(err)
	}
}
