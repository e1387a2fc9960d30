package schema_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/decorate/schema"
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

func TestHugeExponentsCostNothing(t *testing.T) {
	s := ready(t, `{"type":"array","items":{"type":"integer","minimum":0,"maximum":100,"multipleOf":3}}`)
	input := []byte(repeat("1e999990", 20))
	got := allocated(func() {
		if _, err := check(t.Context(), s, input); err == nil {
			t.Error("it is accepted")
		}
	})
	if got > 64<<10 {
		t.Errorf("%d bytes of input allocate %d bytes", len(input), got)
	}
}

func TestAnAnswerIsSmallWhateverTheInput(t *testing.T) {
	unknown := new(strings.Builder)
	for i := range 100_000 {
		fmt.Fprintf(unknown, `"unknown-%d":0,`, i)
	}
	long := strings.Repeat("é", 60_000)
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
		fields, err := check(t.Context(), ready(t, tt.schema), []byte(tt.input))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		size := 0
		for _, f := range fields {
			size += len(f.Path) + len(f.Description)
			if len(f.Path) > 200 || len(f.Description) > 200 || strings.ContainsAny(f.Path+f.Description, "\x1b\u202e") {
				t.Errorf("%s: %q: %q", name, f.Path, f.Description)
			}
		}
		if len(fields) == 0 || len(fields) > 64 || size > 4<<10 {
			t.Errorf("%s: %d fields, %d bytes", name, len(fields), size)
		}
	}
}

// Without a budget, each of these took seconds or gigabytes, or never ended.
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
		s := ready(t, tt.schema)
		began := time.Now()
		var err error
		got := allocated(func() { _, err = check(t.Context(), s, []byte(tt.input)) }) - uint64(len(tt.input))
		took := time.Since(began)
		if took > tooLong { // 50 ms on a processor of its own
			t.Errorf("%s took %s", name, took)
		}
		if got > 64<<20 {
			t.Errorf("%s allocates %d MiB", name, got>>20)
		}
		if limit, ok := errors.AsType[*schema.InputLimit](err); err != nil && (!ok || limit.Fix == "" || !strings.Contains(limit.Text, fmt.Sprint(limit.Limit))) {
			t.Errorf("%s: the answer lacks the limit or what to do: %v", name, err)
		}
	}
}

// leaving is a context whose caller goes away after it has been checked a
// number of times.
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
	s := ready(t, `{"items":{"type":"integer","minimum":0}}`)
	input := []byte(repeat("1", 300_000))
	for _, looks := range []int{0, 1, 50, 200} {
		ctx := &leaving{t.Context(), looks}
		if _, err := check(ctx, s, input); !errors.Is(err, context.Canceled) {
			t.Errorf("gone after %d looks: %v", looks, err)
		}
		if ctx.looks < -2 {
			t.Errorf("gone after %d looks, and looked %d times more", looks, -ctx.looks)
		}
	}
	if _, err := check(&leaving{t.Context(), 1 << 30}, s, input); err != nil {
		t.Error(err)
	}
}
