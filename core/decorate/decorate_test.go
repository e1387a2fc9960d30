package decorate_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

func schemaOf(t testing.TB, text string) *structpb.Struct {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	s, err := structpb.NewStruct(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func compile(t testing.TB, d *ruedov1.Decorator) *decorate.Decorator {
	t.Helper()
	c, err := decorate.NewCompiler().Admit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reached returns an executor that records whether a call passed the rules.
func reached(hit *bool) executor.Executor {
	return executor.Func(func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		*hit = true
		return &runnerv1.ExecuteResponse{}, nil
	})
}

const person = `{
	"type": "object",
	"required": ["name"],
	"additionalProperties": false,
	"properties": {
		"name": {"type": "string", "minLength": 2, "pattern": "^[A-Z]"},
		"age": {"type": "integer", "minimum": 0, "maximum": 150},
		"mail": {"type": "string", "format": "email"},
		"tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": true},
		"id": {"oneOf": [{"type": "integer"}, {"type": "string"}]}
	}
}`

func TestBadInputEndsHereWithEveryFieldNamed(t *testing.T) {
	rules := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, []*decorate.Decorator{
		compile(t, &ruedov1.Decorator{Name: "person", InputSchema: schemaOf(t, person)}),
	})
	for _, tt := range []struct {
		name, input string
		want        []fault.Field
		message     string
	}{
		{name: "good", input: `{"name":"Ada","age":36}`},
		{name: "missing", input: `{}`, want: []fault.Field{{Path: "name", Description: "is required"}}},
		{name: "wrong type", input: `{"name":1}`, want: []fault.Field{{Path: "name", Description: "is of type number; must be string"}}},
		{name: "not an object", input: `[]`, want: []fault.Field{{Path: "(input)", Description: "is of type array; must be object"}}},
		{name: "range", input: `{"name":"Ada","age":151}`, want: []fault.Field{{Path: "age", Description: "is 151; must be at most 150"}}},
		{name: "several", input: `{"name":"a","agee":1}`, want: []fault.Field{
			{Path: "agee", Description: "is not accepted, did you mean age?"},
			{Path: "name", Description: "does not match the pattern ^[A-Z]"},
			{Path: "name", Description: "has 1 characters; must have at least 2"},
		}},
		{name: "nested", input: `{"name":"Ada","tags":["a","x"]}`, want: []fault.Field{{Path: "tags[1]", Description: `must be one of "a", "b"`}}},
		{name: "format", input: `{"name":"Ada","mail":"secret"}`, want: []fault.Field{{Path: "mail", Description: "is not a valid email"}}},
		{name: "choice", input: `{"name":"Ada","id":true}`, want: []fault.Field{{Path: "id", Description: "must fit exactly one of the accepted forms"}}},
		{name: "not JSON", input: `{"name":`, message: "ends in the middle"},
		{name: "empty", input: ``, message: "it is empty"},
		{name: "trailing", input: `{"name":"Ada"} x`, message: "follows"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var hit bool
			_, err := rules.Middleware(reached(&hit)).Execute(t.Context(), &runnerv1.ExecuteRequest{Service: "greet", Input: []byte(tt.input)})
			if tt.want == nil && tt.message == "" {
				if err != nil || !hit {
					t.Fatalf("good input: err %v, reached the runner %v", err, hit)
				}
				return
			}
			if !errors.Is(err, fault.InputInvalid) || hit {
				t.Fatalf("err = %v, reached the runner %v", err, hit)
			}
			if tt.message != "" && !strings.Contains(err.Error(), tt.message) {
				t.Errorf("message %q does not say %q", err, tt.message)
			}
			got := fault.FromError(err).Fields
			less := func(a, b fault.Field) bool { return a.Path+a.Description < b.Path+b.Description }
			if diff := cmp.Diff(tt.want, got, sortFields(less)); tt.message == "" && diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error()+diffText(got), "secret") {
				t.Error("the answer repeats the input")
			}
		})
	}
}

func TestEverySchemaMustPass(t *testing.T) {
	rules := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, []*decorate.Decorator{
		compile(t, &ruedov1.Decorator{Name: "a", InputSchema: schemaOf(t, `{"required":["a"]}`)}),
		compile(t, &ruedov1.Decorator{Name: "none"}),
		compile(t, &ruedov1.Decorator{Name: "b", InputSchema: schemaOf(t, `{"required":["b"]}`)}),
	})
	var hit bool
	_, err := rules.Middleware(reached(&hit)).Execute(t.Context(), &runnerv1.ExecuteRequest{Input: []byte(`{}`)})
	want := []fault.Field{{Path: "a", Description: "is required"}, {Path: "b", Description: "is required"}}
	if diff := cmp.Diff(want, fault.FromError(err).Fields); diff != "" {
		t.Error(diff)
	}
	if got := len(rules.Schemas()); got != 2 {
		t.Errorf("Schemas gives %d, want 2", got)
	}
}

func TestTheStrictestLimitWinsAndIsNamed(t *testing.T) {
	rules := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, []*decorate.Decorator{
		compile(t, &ruedov1.Decorator{Name: "wide", Limits: &ruedov1.Limits{MemoryBytes: 256 << 20, Timeout: durationpb.New(time.Second)}}),
		compile(t, &ruedov1.Decorator{Name: "narrow", Limits: &ruedov1.Limits{MemoryBytes: 64 << 20, InputBytes: 10}, Policy: &ruedov1.CallPolicy{Idempotent: true}}),
	})
	want := map[string]string{
		"memory":      "64 MiB from narrow",
		"timeout":     "1s from wide",
		"cpu":         "1s from as timeout",
		"input":       "10 bytes from narrow",
		"output":      "4 MiB from ",
		"logs":        "64 KiB from ",
		"concurrency": "the runner's own from ",
	}
	got := map[string]string{}
	for _, e := range rules.Effective() {
		from := e.GetDecorator()
		if e.GetFollows() != "" {
			from += "as " + e.GetFollows()
		}
		got[e.GetLimit()] = e.GetValue() + " from " + from
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s is %s, want %s", name, got[name], text)
		}
	}
	if !rules.Idempotent || rules.Authorization != nil {
		t.Errorf("idempotent %t, authorization by %q", rules.Idempotent, rules.Authorization)
	}
	users := compile(t, &ruedov1.Decorator{Name: "users", Policy: &ruedov1.CallPolicy{PassAuthorization: true}})
	passing := decorate.Combine(ruedov1.Kind_KIND_HTTP, []*decorate.Decorator{compile(t, &ruedov1.Decorator{Name: "none"}), users})
	if !slices.Equal(passing.Authorization, []string{"users"}) {
		t.Errorf("authorization by %q", passing.Authorization)
	}

	var hit bool
	_, err := rules.Middleware(reached(&hit)).Execute(t.Context(), &runnerv1.ExecuteRequest{Service: "s", Input: make([]byte, 11)})
	if !errors.Is(err, fault.InputTooLarge) || hit {
		t.Fatalf("err = %v, reached the runner %v", err, hit)
	}
	if s := err.Error(); !strings.Contains(s, "11 bytes") || !strings.Contains(s, "10 bytes") {
		t.Errorf("message %q names not both sizes", s)
	}
	if e := fault.FromError(err); e.Fix != "send less, or raise input in decorator narrow" || e.Meta["decorator"] != "narrow" || !e.NotStarted {
		t.Errorf("fix %q, meta %v", e.Fix, e.Meta)
	}
}

func TestBadSchemasAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name, schema string
		want         fault.Reason
	}{
		{"not a schema", `{"type": "strnig"}`, fault.SchemaInvalid},
		{"bad pattern", `{"pattern": "("}`, fault.SchemaInvalid},
		{"pattern that backtracks", `{"pattern": "(?=a)b"}`, fault.SchemaInvalid},
		{"http", `{"$ref": "http://169.254.169.254/latest"}`, fault.SchemaRemoteRef},
		{"file", `{"$ref": "file:///etc/passwd"}`, fault.SchemaRemoteRef},
		{"unknown metaschema", `{"$schema": "https://example.com/s"}`, fault.SchemaRemoteRef},
		{"dangling", `{"$ref": "#/$defs/nothing"}`, fault.SchemaInvalid},
		{"too large", `{"description": "` + strings.Repeat("x", 300<<10) + `"}`, fault.SchemaLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decorate.NewCompiler().Admit(t.Context(), &ruedov1.Decorator{Name: "d", InputSchema: schemaOf(t, tt.schema)})
			if !errors.Is(err, tt.want) {
				t.Fatalf("err = %v (%v), want %s", err, fault.ReasonOf(err), tt.want)
			}
			if !strings.Contains(err.Error(), "decorator d") {
				t.Errorf("message %q does not name the decorator", err)
			}
		})
	}
}

func TestReferencesWithinTheSchemaWork(t *testing.T) {
	compile(t, &ruedov1.Decorator{Name: "d", InputSchema: schemaOf(t,
		`{"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}`)})
}

func TestEqualContentIsOnePlan(t *testing.T) {
	rules := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, nil)
	rev := func() *ruedov1.Revision {
		return &ruedov1.Revision{Service: "s", Number: 3, Module: strings.Repeat("a", 64), Env: map[string]string{"A": "1", "B": "2", "C": "3"}}
	}
	first, _, err := rules.Plan(rev())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if id, _, _ := rules.Plan(rev()); id != first {
			t.Fatalf("same content, other id: %s and %s", id, first)
		}
	}
	other := rev()
	other.Args = []string{"x"}
	if id, _, _ := rules.Plan(other); id == first {
		t.Error("other content, same id")
	}
}

// What the decorators of a service grant adds up, and is part of its plan.
func TestGrantsAddUp(t *testing.T) {
	a := compile(t, &ruedov1.Decorator{Name: "a", Grants: &ruedov1.Grants{Egress: []string{"tcp://b.example:1", "POST,GET https://A.example:443/"}}})
	b := compile(t, &ruedov1.Decorator{Name: "b", Grants: &ruedov1.Grants{Egress: []string{"tcp://b.example:1", "udp://10.0.0.0/8:161"}}})
	if want := []string{"GET,POST https://a.example", "tcp://b.example:1"}; !slices.Equal(a.GetGrants().GetEgress(), want) {
		t.Errorf("it is stored as %q, want %q", a.GetGrants().GetEgress(), want)
	}
	want := []string{"GET,POST https://a.example", "tcp://b.example:1", "udp://10.0.0.0/8:161"}
	rev := &ruedov1.Revision{Service: "s", Number: 1}
	first := ""
	for _, ds := range [][]*decorate.Decorator{{a, b}, {b, a}} {
		rules := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, ds)
		id, plan, err := rules.Plan(rev)
		var from []string
		for _, g := range rules.Grants() {
			from = append(from, g.GetRule()+" "+strings.Join(slices.Sorted(slices.Values(g.GetDecorators())), " "))
		}
		if origins := []string{want[0] + " a", want[1] + " a b", want[2] + " b"}; !slices.Equal(from, origins) {
			t.Errorf("the grants come from %q, want %q", from, origins)
		}
		if err != nil || !slices.Equal(plan.GetEgress(), want) {
			t.Fatalf("the plan has %q, %v", plan.GetEgress(), err)
		}
		if first != "" && id != first {
			t.Error("the order of the decorators changes the plan")
		}
		first = id
	}
	_, err := decorate.NewCompiler().Admit(t.Context(), &ruedov1.Decorator{Name: "d", Grants: &ruedov1.Grants{Egress: []string{"tcp://b:1", "https://*.com"}}})
	if e := fault.FromError(err); !errors.Is(err, fault.DecoratorInvalid) || !strings.Contains(e.Message, "grants.egress[1]") || e.Meta["decorator"] != "d" || e.Fix == "" {
		t.Errorf("%v, meta %v", err, e.Meta)
	}
}

// A plan without grants is byte for byte what it was before there were any, so the
// ids of plans stay.
func TestPlansWithoutGrantsStay(t *testing.T) {
	empty := compile(t, &ruedov1.Decorator{Name: "d", Grants: &ruedov1.Grants{}})
	if empty.Grants != nil {
		t.Error("empty grants are stored")
	}
	_, plan, err := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, []*decorate.Decorator{empty}).Plan(&ruedov1.Revision{Service: "s"})
	if err != nil || plan.ProtoReflect().Has(plan.ProtoReflect().Descriptor().Fields().ByName("egress")) {
		t.Errorf("the plan has %q, %v", plan.GetEgress(), err)
	}
	id, err := executor.PlanID(&runnerv1.Plan{Service: "s", Revision: 3, Module: strings.Repeat("a", 64), ModuleBytes: 7, Egress: plan.GetEgress()})
	if want := "abe21327ea6070851a856e10cb86ac0abff228543aa9651610f963684c2f468c"; err != nil || id != want {
		t.Errorf("the id is %s, %v, want %s", id, err, want)
	}
}
