package invoke_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// typed returns a call of a service whose types make schemas.
func typed(t *testing.T, decorators ...*ruedov1.Decorator) invoke.Call {
	t.Helper()
	var names []string
	for _, d := range decorators {
		names = append(names, d.GetName())
	}
	s := coretest.Service("greet", 1, names...)
	s.Revision.InputSchema = coretest.Decorator(t, "", 0, `{"$ref":"#/$defs/In","$defs":{"In":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}},"additionalProperties":false}}}`).InputSchema
	s.Revision.OutputSchema = coretest.Decorator(t, "", 0, `{"type":"object","properties":{"greeting":{"type":"string"}}}`).InputSchema
	m := coretest.NewMirror()
	m.Set(decorators, s)
	call, err := coretest.NewInvoker(m, nil).Begin(coretest.Context(t), "greet")
	if err != nil {
		t.Fatal(err)
	}
	return call
}

func TestADescriptionHasTheSchemasOfTheTypes(t *testing.T) {
	const types = `{"$defs":{"In":{"additionalProperties":false,"properties":{"name":{"type":"string"}},"required":["name"],"type":"object"}},"$ref":"#/$defs/In"}`
	for _, c := range []struct {
		call invoke.Call
		want string
	}{
		{typed(t), types},
		// Each schema stays a document of its own, so that its references hold.
		{typed(t, coretest.Decorator(t, "named", 1, `{"required":["name"]}`)), `{"allOf":[{"$id":"named","required":["name"]},` + strings.Replace(types, `"$ref"`, `"$id":"types.of.the.handler","$ref"`, 1) + `]}`},
	} {
		d := c.call.Describe()
		input, err := json.Marshal(d.InputSchema)
		if err != nil || string(input) != c.want {
			t.Errorf("%s\nwant %s, %v", input, c.want, err)
		}
		output, err := json.Marshal(d.OutputSchema)
		if want := `{"properties":{"greeting":{"type":"string"}},"type":"object"}`; err != nil || string(output) != want {
			t.Errorf("%s, want %s, %v", output, want, err)
		}
	}
}

// The types are checked after the decorators, and add nothing about a field that
// those have refused.
func TestTypesAreCheckedLikeASchemaOfADecorator(t *testing.T) {
	for _, c := range []struct {
		call        invoke.Call
		input, want string
	}{
		{typed(t), `{"nme":"Ada","name":"Ada"}`, "nme: is not accepted, did you mean name?"},
		{typed(t), `{"name":1}`, "name: is of type number; must be string"},
		{typed(t, coretest.Decorator(t, "d", 1, `{"properties":{"name":{"type":["string","null"]}},"required":["name","age"]}`)), `{"name":1}`,
			"name: is of type number; must be null or string; age: is required"},
	} {
		_, err := c.call.Do(t.Context(), invoke.Input{Body: []byte(c.input)})
		testkit.WantReason(t, err, fault.InputInvalid)
		var fields []string
		for _, f := range fault.FromError(err).Fields {
			fields = append(fields, f.Path+": "+f.Description)
		}
		if got := strings.Join(fields, "; "); got != c.want {
			t.Errorf("%s: %s, want %s", c.input, got, c.want)
		}
	}
}
