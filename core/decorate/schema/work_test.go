package schema

import (
	"strings"
	"testing"
)

// BenchmarkWork measures a unit of work, for the most expensive case of each
// kind.
func BenchmarkWork(b *testing.B) {
	repeat := func(item string, n int) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }
	for _, bm := range []struct{ name, schema, input string }{
		{"rules", `{"$ref":"#/$defs/a","$defs":{"a":{"oneOf":[{"type":"array","items":{"$ref":"#/$defs/a"}},{"type":"array","items":{"$ref":"#/$defs/a"},"minItems":1}]}}}`, strings.Repeat("[", 15) + strings.Repeat("]", 15)},
		{"numbers", `{"items":{"type":"integer","minimum":0,"maximum":1e300}}`, repeat("12345678901234567890", 20_000)},
		{"multiples", `{"items":{"multipleOf":0.01}}`, repeat("123.45", 20_000)},
		{"names", `{"additionalProperties":{"type":"integer"},"properties":{"a":true}}`, `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}`},
		{"choices", `{"items":{"enum":[{"a":1,"b":0}]}}`, repeat(`{"b":0,"a":1}`, 5_000)},
		{"unique", `{"uniqueItems":false,"items":{"uniqueItems":true}}`, repeat("[1,2,3]", 10_000)},
		{"strings", `{"items":{"minLength":1}}`, repeat(`"`+strings.Repeat("é", 200)+`"`, 2_000)},
		{"pattern", `{"pattern":"(a?){200}b"}`, `"` + strings.Repeat("a", 2_000) + `"`},
		{"small patterns", `{"items":{"pattern":"(a*)*(b*)*(c*)*d$"}}`, repeat(`"abcabcd"`, 2_000)},
		{"formats", `{"items":{"format":"uri-template"}}`, repeat(`"http://a/{b}/c{d}"`, 5_000)},
		{"regular expressions", `{"items":{"format":"regex"}}`, repeat(`"(?i)[\\pL\\pN\\PL]"`, 100)},
		{"unevaluated", `{"unevaluatedItems":{"type":"integer"},"anyOf":[{"contains":{"type":"string"}},{}]}`, repeat("0", 20_000)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			s := admitted(b, NewCompiler(), bm.schema)
			units := 0
			for b.Loop() {
				c, err := s.Checker(b.Context(), []byte(bm.input))
				if err != nil {
					b.Fatal(err)
				}
				c.check(s.shared.rule, 0, true, nil)
				if c.stopped != nil {
					b.Fatal(c.stopped)
				}
				units += maxWork - c.left
				c.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(units), "ns/unit")
		})
	}
}
