package decorate_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/decorate"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

func TestAnAnswerSaysWhichLimitAnInputIsOver(t *testing.T) {
	for name, tt := range map[string]struct{ schema, input, text, field, limit, actual, fix string }{
		"a number":      {`{"type":"object"}`, `{"n":1e999}`, "the input of service s is not accepted: n is a number with the exponent 999; the limit is 400", "n", "400", "999", "look at what the service accepts"},
		"a name":        {`{"type":"object"}`, `{"a":{"x":1,"x":2}}`, "the input of service s is not accepted: a.x stands more than once in its object", "a.x", "1", "2", "look at what the service accepts"},
		"values":        {`{"type":"array"}`, "[" + strings.Repeat("0,", 500_000) + "0]", "the input of service s is not accepted: it has more than 500000 values", "", "500000", "over 500000", "look at what the service accepts"},
		"work":          {`{"items":{"multipleOf":1e-300}}`, "[" + strings.Repeat("1e300,", 100_000) + "0]", "the input of service s would take more than 3000000 units of work to check against its schema, which is the limit", "", "3000000", "over 3000000", "send less at a time, or make the schema simpler"},
		"nested checks": {deepSchema, strings.Repeat("[", 250) + strings.Repeat("]", 250), "the input of service s nests too deep for its schema: checking it needs more than 8192 levels", "", "8192", "over 8192", "send an input that nests less, or make the schema simpler"},
		"violations":    {`{"items":{"type":"string"}}`, "[" + strings.Repeat("0,", 1_000) + "0]", "the input for service s does not match its schema (at least 64 fields)", "[0]", "", "", "look at what the service accepts"},
	} {
		rules := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, []*decorate.Decorator{compile(t, &ruedov1.Decorator{Name: "d", InputSchema: schemaOf(t, tt.schema)})})
		err := rules.Check(t.Context(), "s", []byte(tt.input))
		e := fault.FromError(err)
		if !errors.Is(err, fault.InputInvalid) || !strings.HasPrefix(e.Message, tt.text) || e.Meta["limit"] != tt.limit || e.Meta["actual"] != tt.actual || e.Fix != tt.fix || tt.fix == "look at what the service accepts" && e.Meta["service"] != "s" {
			t.Errorf("%s: %v, meta %v, fix %q", name, err, e.Meta, e.Fix)
		}
		if !e.NotStarted {
			t.Errorf("%s: the call seems to have started", name)
		}
		if (tt.field == "") != (len(e.Fields) == 0) || tt.field != "" && e.Fields[0].Path != tt.field {
			t.Errorf("%s: fields %v, want %q", name, e.Fields, tt.field)
		}
	}
}

// deepSchema visits 40 nested rules for every level of arrays.
var deepSchema = `{"$ref":"#/$defs/a","$defs":{"a":` + strings.Repeat(`{"allOf":[`, 40) + `{"items":{"$ref":"#/$defs/a"}}` + strings.Repeat("]}", 40) + `}}`

func TestARefusedSchemaSaysWhichLimitItIsOver(t *testing.T) {
	_, err := decorate.NewCompiler().Admit(t.Context(), &ruedov1.Decorator{Name: "d", InputSchema: schemaOf(t, `{"minLength":1e300}`)})
	e := fault.FromError(err)
	if !errors.Is(err, fault.SchemaLimit) || e.Message != "the input schema of decorator d has a minLength of 1e+300; the limit is 9007199254740992" ||
		e.Meta["decorator"] != "d" || e.Meta["limit"] != "9007199254740992" || e.Meta["actual"] != "1e+300" || e.Fix == "" || e.Reason.ExitCode() != fault.ExitLimit {
		t.Errorf("%v, meta %v, fix %q, exit code %d", err, e.Meta, e.Fix, e.Reason.ExitCode())
	}
}

// The types of a service are checked within the same budget. Its author can do
// without them.
func TestAnInputThatOnlyTheTypesRefuseForItsSize(t *testing.T) {
	c := decorate.NewCompiler()
	for name, input := range map[string]string{
		"values": "[" + strings.Repeat("0,", 500_000) + "0]",
		"work":   "[" + strings.Repeat(`"x",`, 400_000) + `"x"]`,
	} {
		types := c.Types(&ruedov1.Revision{Service: "s", InputSchema: schemaOf(t, `{"items":{"pattern":"^(a|b)*x$"}}`)})
		err := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, []*decorate.Decorator{types}).Check(t.Context(), "s", []byte(input))
		e := fault.FromError(err)
		if !errors.Is(err, fault.InputInvalid) || !strings.Contains(e.Fix, "schema: none") || e.Meta["limit"] == "" {
			t.Errorf("%s: %v, fix %q, meta %v", name, err, e.Fix, e.Meta)
		}
		if _, ok := e.Meta["decorator"]; ok {
			t.Errorf("%s: a decorator is named", name)
		}
	}
}
