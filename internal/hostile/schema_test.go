//go:build hostile

package hostile

import (
	"fmt"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// admitted bounds the time to refuse a schema.
const admitted = 2 * time.Second

// several joins n parts with commas.
func several(n int, part func(i int) string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = part(i)
	}
	return strings.Join(list, ",")
}

func wrapped(n int, open, shut string) string {
	return strings.Repeat(open, n) + "{}" + strings.Repeat(shut, n)
}

// patterned returns a schema with n patterns for names.
func patterned(n int) string {
	return `{"patternProperties":{` + several(n, func(i int) string { return fmt.Sprintf(`"^x%d":{"type":"string"}`, i) }) + `}}`
}

// schemaRow is row 38: schemas that would take long to compile or to check, or
// that refer to outside resources. The live revision stays live. The bound on
// memory is wide, because the heap of a core can grow to five times its live
// objects.
func schemaRow() *row {
	over := func(text, limit string) expect {
		return expect{reason: fault.SchemaLimit, text: []string{text}, meta: map[string]string{"limit": limit}}
	}
	remote := func(url string) expect {
		return expect{reason: fault.SchemaRemoteRef, text: []string{url}}
	}
	// The port refuses what no schema can be before it decodes it.
	large := expect{reason: fault.InputTooLarge, text: []string{"bytes"}, meta: map[string]string{"limit": "196608"}}
	loop := expect{reason: fault.SchemaInvalid, text: []string{"refers to itself"}}
	schemas := []struct {
		name, schema string
		want         expect
	}{
		{"a file", `{"$ref":"file:///etc/passwd"}`, remote("file:///etc/passwd")},
		{"metadata", `{"$ref":"http://metadata.google.internal/computeMetadata/v1/"}`, remote("metadata.google.internal")},
		{"metadata as metaschema", `{"$schema":"http://169.254.169.254/latest"}`, remote("169.254.169.254")},
		{"an id elsewhere", `{"$id":"http://169.254.169.254/","$ref":"latest"}`, remote("169.254.169.254")},
		{"a loop", `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`, loop},
		{"a loop in a choice", `{"anyOf":[{"type":"string"},{"$ref":"#"}]}`, loop},
		{"doubling references", `{"$ref":"#/$defs/a0","$defs":{` + several(20, func(i int) string {
			return fmt.Sprintf(`"a%d":{"allOf":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]}`, i, i+1, i+1)
		}) + `,"a20":{"type":"string"}}}`, over("units of work for one value", "10000")},
		{"3,000 deep", wrapped(3000, `{"items":`, `}`), over("levels of nesting", "128")},
		{"deep allOf", wrapped(1000, `{"allOf":[`, `]}`), over("levels of nesting", "128")},
		{"8,000 patternProperties", patterned(8000), large},
		{"4,000 patternProperties", patterned(4000), over("subschemas", "1000")},
		{"900 patterns", `{"allOf":[` + several(900, func(i int) string { return fmt.Sprintf(`{"pattern":"^%d"}`, i) }) + `]}`, over("patterns", "256")},
		{"a pattern that explodes", `{"pattern":"(` + strings.Repeat("(a{1000})", 200) + `)"}`, over("instructions in one pattern", "5000")},
		{"a pattern that backtracks", `{"pattern":"^(?=a+)+$"}`, expect{reason: fault.SchemaInvalid, noFix: true}},
		{"1 MB", `{"description":"` + strings.Repeat("x", 1<<20) + `"}`, large},
		{"150 KiB", `{"description":"` + strings.Repeat("x", 150<<10) + `"}`, over("bytes", "131072")},
		{"an enum of 12,000", `{"enum":[` + several(12_000, func(i int) string { return fmt.Sprint(i) }) + `]}`, over("values", "10000")},
		{"a chain of references", `{"$ref":"#/$defs/a0","$defs":{` + several(900, func(i int) string { return fmt.Sprintf(`"a%d":{"$ref":"#/$defs/a%d"}`, i, i+1) }) + `,"a900":{}}}`, over("in a row", "64")},
	}
	r := &row{number: 38, name: "hostile schemas of decorators", atOnce: 1, peakCore: 320 << 20, once: true, setup: func(b *bout) {
		b.mustAccept(b.service("live"), `{"type":"object","required":["name"],"properties":{"name":{"type":"string","pattern":"^[A-Z]"}}}`)
	}}
	for _, s := range schemas {
		r.moves = append(r.moves, move{s.name, func(b *bout) {
			began := time.Now()
			err := b.setSchema(b.ctx, b.service("evil"), s.schema)
			b.bounded("creating the decorator", time.Since(began), admitted)
			b.check("create", err, s.want)
			// It cannot replace a schema in use, either.
			b.check("update", b.setSchema(b.ctx, b.service("live"), s.schema), s.want)
			if res, err := b.call(b.service("live"), []byte(`{"name":"Ada"}`)); err != nil || !strings.Contains(string(res.Output), "Ada") {
				b.Errorf("the service that was live: %v", err)
			}
			if _, err := b.call(b.service("live"), []byte(`{"name":"ada"}`)); fault.ReasonOf(err) != fault.InputInvalid {
				b.Errorf("the schema that was live is not: %v", err)
			}
		}})
	}
	r.moves = append(r.moves, move{"10 MB", func(b *bout) {
		// The transport's own limit on messages applies first.
		if err := b.setSchema(b.ctx, b.service("evil"), `{"description":"`+strings.Repeat("x", 10<<20)+`"}`); err == nil {
			b.Errorf("create: a schema of 10 MB was taken")
		}
	}})
	// The most expensive schemas that are admitted: compiled, called and replaced
	// while the victim is called.
	r.moves = append(r.moves, move{"the dearest that are admitted", func(b *bout) {
		wide := `{"properties":{` + several(960, func(i int) string { return fmt.Sprintf(`"p%d":{"type":"string"}`, i) }) + `}}`
		if err := b.setSchema(b.ctx, b.service("dear"), wide); err != nil {
			b.Errorf("create: %v", err)
			return
		}
		if err := b.publish(b.ctx, b.service("dear"), ruedotest.Echo(), nil, carrying(b.service("dear"))); err != nil {
			b.Errorf("publish: %v", err)
			return
		}
		for i := range 5 {
			if err := b.setSchema(b.ctx, b.service("dear"), strings.Replace(wide, `"p0"`, fmt.Sprintf(`"q%d"`, i), 1)); err != nil {
				b.Errorf("update: %v", err)
			}
			if _, err := b.call(b.service("dear"), []byte(`{"p1":"a"}`)); err != nil {
				b.Errorf("call: %v", err)
			}
			if _, err := b.call(b.service("dear"), fmt.Appendf(nil, `{"q%d":1}`, i)); fault.ReasonOf(err) != fault.InputInvalid {
				b.Errorf("the schema that was just set is not the one that holds: %v", err)
			}
		}
	}})
	return r
}
