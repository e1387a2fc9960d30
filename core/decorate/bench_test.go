package decorate_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ruedo-dev/ruedo/core/decorate"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// greetSchema is the schema of examples/greet.
const greetSchema = `{"type":"object","required":["name"],"additionalProperties":false,"properties":{
	"name":{"description":"Whom to greet.","type":"string","minLength":1,"maxLength":64},
	"age":{"description":"Age in years.","type":"integer","minimum":0,"maximum":150},
	"language":{"description":"Language of the greeting.","enum":["en","es","de","fr"]}}}`

// typesSchema is what the types of the first example in docs/services.md make.
const typesSchema = `{"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},"age":{"type":["integer","null"]}}}`

// BenchmarkTypes measures what the schema that types make costs a call, and that
// a service without one pays nothing.
func BenchmarkTypes(b *testing.B) {
	c := decorate.NewCompiler()
	types, err := c.AdmitTypes(b.Context(), &ruedov1.Revision{Service: "greet", InputSchema: schemaOf(b, typesSchema)})
	if err != nil {
		b.Fatal(err)
	}
	for name, ds := range map[string][]*decorate.Decorator{"none": nil, "types": {types}} {
		b.Run(name, func(b *testing.B) {
			var hit bool
			next := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, ds).Middleware(reached(&hit))
			req := &runnerv1.ExecuteRequest{Service: "greet", Input: []byte(`{"name":"Ada","age":36}`)}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = next.Execute(b.Context(), req)
			}
		})
	}
}

// BenchmarkCheck measures what the schema of examples/greet costs a call.
func BenchmarkCheck(b *testing.B) {
	for name, input := range map[string]string{"small": `{"name":"Ada"}`, "full": `{"name":"Ada Lovelace","age":36,"language":"en"}`, "wrong": `{"nme":"Ada","age":151}`} {
		b.Run(name, func(b *testing.B) {
			c, err := decorate.NewCompiler().Admit(b.Context(), &ruedov1.Decorator{Name: "greet", InputSchema: schemaOf(b, greetSchema)})
			if err != nil {
				b.Fatal(err)
			}
			var hit bool
			next := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, []*decorate.Decorator{c}).Middleware(reached(&hit))
			req := &runnerv1.ExecuteRequest{Service: "greet", Input: []byte(input)}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = next.Execute(b.Context(), req)
			}
		})
	}
}

// BenchmarkCheckOfMany measures what a schema costs a call if the calls of thousands of
// services alternate, each with a schema of its own, so that none is in a cache.
func BenchmarkCheckOfMany(b *testing.B) {
	for _, n := range []int{10, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			compiler := decorate.NewCompiler()
			services := make([]*decorate.Rules, n)
			for i := range services {
				text := fmt.Sprintf(`{"type":"object","required":["name"],"additionalProperties":false,"properties":{
					"name":{"type":"string","minLength":1,"maxLength":%d},"age":{"type":"integer","minimum":0,"maximum":150},"language":{"enum":["en","es"]}}}`, 64+i)
				d, err := compiler.Admit(b.Context(), &ruedov1.Decorator{Name: "rules", InputSchema: schemaOf(b, text)})
				if err != nil {
					b.Fatal(err)
				}
				services[i] = decorate.Combine(ruedov1.Kind_KIND_FUNCTION, []*decorate.Decorator{d})
			}
			rand.Shuffle(n, func(i, j int) { services[i], services[j] = services[j], services[i] })
			input := []byte(`{"name":"Ada"}`)
			for i := 0; b.Loop(); i++ {
				if err := services[i%n].Check(b.Context(), "greet", input); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
