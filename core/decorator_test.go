package core_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// roomy is a service that needs 4 MiB of memory to start.
func roomy() []byte {
	m := w.New()
	m.AsFunction(m.Func(">i", w.I32(0)))
	m.Memory(64, -1)
	return m.Bytes()
}

func requires(t *testing.T, field string) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(map[string]any{"type": "object", "required": []any{field}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func createDecorator(t *testing.T, c *ruedotest.Cluster, d *ruedov1.Decorator) {
	t.Helper()
	if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: d}); err != nil {
		t.Fatal(err)
	}
}

func updateDecorator(t *testing.T, c *ruedotest.Cluster, d *ruedov1.Decorator, force bool) (*ruedov1.UpdateDecoratorResponse, error) {
	t.Helper()
	return c.Client.Decorators.UpdateDecorator(t.Context(), &ruedov1.UpdateDecoratorRequest{Decorator: d, Force: force})
}

func limited(name string, memory uint64) *ruedov1.Decorator {
	return &ruedov1.Decorator{Name: name, Limits: &ruedov1.Limits{MemoryBytes: memory}}
}

// readiness returns what `get services` says about a service.
func readiness(t *testing.T, c *ruedotest.Cluster, name string) *ruedov1.Readiness {
	t.Helper()
	services, err := client.All(c.Client.ListServices(t.Context(), &ruedov1.ListServicesRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		if s.GetName() == name {
			return s.GetReadiness()
		}
	}
	t.Fatalf("there is no service %s", name)
	return nil
}

// The night that began it: one limit, applied to a shared decorator, broke every
// service that carries it and removed its schema.
func TestAChangeOfADecoratorThatBreaksAServiceIsRefused(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 2})
	whole := limited("shared", 32<<20)
	whole.InputSchema, whole.Policy = requires(t, "name"), &ruedov1.CallPolicy{Idempotent: true}
	createDecorator(t, c, whole)
	for _, name := range []string{"one", "two"} {
		c.Publish(t, &ruedov1.PublishServiceRequest{Name: name, Decorators: []string{"shared"}}, roomy())
	}
	publishEcho(t, c, &ruedov1.PublishServiceRequest{Decorators: []string{"shared"}})

	_, err := updateDecorator(t, c, limited("shared", 1<<20), false)
	e := wantReason(t, err, fault.DecoratorBreaksServices, "2 services could not run", "one, two", "force the change")
	if len(e.Fields) != 2 || e.Fields[0].Path != "one" || !strings.Contains(e.Fields[0].Description, "WASM_LIMIT_MEMORY") || e.Meta["services"] != "one two" {
		t.Errorf("fields %v, meta %v: want each service with its reason", e.Fields, e.Meta)
	}
	got, err := c.Client.Decorators.GetDecorator(t.Context(), &ruedov1.GetDecoratorRequest{Name: "shared"})
	if err != nil || got.GetDecorator().GetInputSchema() == nil || got.GetDecorator().GetRevision() != 1 {
		t.Errorf("after the refusal the decorator is %v, %v", got.GetDecorator(), err)
	}
	for _, name := range []string{"one", "two", "echo"} {
		if _, err := c.Client.Call(t.Context(), name, []byte(`{"name":"Ada"}`)); err != nil {
			t.Errorf("call %s: %v", name, err)
		}
	}

	// A change that all can bear counts those that were asked.
	res, err := updateDecorator(t, c, limited("shared", 16<<20), false)
	if err != nil || res.GetChecked() != 3 || res.GetDecorator().GetRevision() != 2 {
		t.Fatalf("%v, %v: want revision 2, 3 services checked", res, err)
	}

	// A dry run says the same and writes nothing.
	_, err = c.Client.Decorators.UpdateDecorator(t.Context(), &ruedov1.UpdateDecoratorRequest{Decorator: limited("shared", 1<<20), DryRun: true})
	wantReason(t, err, fault.DecoratorBreaksServices)
	dry, err := c.Client.Decorators.UpdateDecorator(t.Context(), &ruedov1.UpdateDecoratorRequest{Decorator: limited("shared", 15<<20), DryRun: true})
	if err != nil || dry.GetChecked() != 3 {
		t.Errorf("dry run: %v, %v", dry, err)
	}

	// Force overrides; what broke says so, and a service that is broken already
	// does not prevent the next change.
	if res, err = updateDecorator(t, c, limited("shared", 1<<20), true); err != nil || res.GetDecorator().GetRevision() != 3 {
		t.Fatalf("forced: %v, %v", res, err)
	}
	testkit.Eventually(t, "READY says why", func() bool { return readiness(t, c, "one").GetReason() == "WASM_LIMIT_MEMORY" })
	if r := readiness(t, c, "one"); r.GetRunners() != 0 || !strings.Contains(r.GetMessage(), "the limit is 1 MiB") {
		t.Errorf("readiness of a broken service: %v", r)
	}
	testkit.Eventually(t, "the others are ready", func() bool { return readiness(t, c, "echo").GetRunners() == 2 })
	if _, err := updateDecorator(t, c, limited("shared", 1<<20+64<<10), false); err != nil {
		t.Fatalf("a service that is broken already prevents a change: %v", err)
	}

	// The way back.
	back, err := c.Client.Decorators.RollbackDecorator(t.Context(), &ruedov1.RollbackDecoratorRequest{Name: "shared", Revision: 1})
	if err != nil || back.GetPrevious() != 4 || back.GetDecorator().GetRevision() != 1 || back.GetDecorator().GetLatest() != 4 {
		t.Fatalf("rollback: %v, %v", back, err)
	}
	if d := back.GetDecorator(); d.GetInputSchema() == nil || !d.GetPolicy().GetIdempotent() || d.GetLimits().GetMemoryBytes() != 32<<20 {
		t.Errorf("revision 1 came back as %v", d)
	}
	for _, name := range []string{"one", "two", "echo"} {
		if _, err := c.Client.Call(t.Context(), name, []byte(`{"name":"Ada"}`)); err != nil {
			t.Errorf("call %s after the rollback: %v", name, err)
		}
	}
	revs, err := client.All(c.Client.ListDecoratorRevisions(t.Context(), &ruedov1.ListDecoratorRevisionsRequest{Name: "shared"}))
	var numbers []uint64
	for _, r := range revs {
		numbers = append(numbers, r.GetRevision())
	}
	if err != nil || fmt.Sprint(numbers) != "[4 3 2 1]" {
		t.Errorf("revisions %v, %v", numbers, err)
	}
	_, err = c.Client.Decorators.RollbackDecorator(t.Context(), &ruedov1.RollbackDecoratorRequest{Name: "shared"})
	wantReason(t, err, fault.RevisionNotFound, "no revision before 1")
	_, err = c.Client.Decorators.RollbackDecorator(t.Context(), &ruedov1.RollbackDecoratorRequest{Name: "shared", Revision: 9})
	wantReason(t, err, fault.RevisionNotFound, "it has 1 to 4")
}

func TestAChangeOfASchemaIsCheckedByTheExamples(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	createDecorator(t, c, &ruedov1.Decorator{Name: "shape", InputSchema: requires(t, "name")})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{Decorators: []string{"shape"}, Example: []byte(`{"name":"Ada"}`)})
	stricter := &ruedov1.Decorator{Name: "shape", InputSchema: requires(t, "email")}
	_, err := updateDecorator(t, c, stricter, false)
	if e := wantReason(t, err, fault.DecoratorBreaksServices, "1 service could not run", "echo"); len(e.Fields) != 1 || !strings.Contains(e.Fields[0].Description, "example") {
		t.Errorf("fields %v", e.Fields)
	}

	for publishing, reason := range map[string]fault.Reason{"echo": "", "other": fault.DecoratorBreaksServices} {
		_, err = c.Client.Decorators.UpdateDecorator(t.Context(), &ruedov1.UpdateDecoratorRequest{Decorator: stricter, DryRun: true, Publishing: publishing})
		if (reason == "") != (err == nil) {
			t.Errorf("dry run for a publish of %s: %v", publishing, err)
		}
	}

	// Published together, example and schema change in one step.
	digest := ruedotest.Echo()
	publish := &ruedov1.PublishServiceRequest{Decorators: []string{"shape", "new"}, Definitions: []*ruedov1.Decorator{stricter, limited("new", 8<<20)}}
	publish.Example = []byte(`{"name":"Ada"}`)
	publish.Name = "echo"
	_, err = c.TryPublish(t.Context(), publish, digest)
	wantReason(t, err, fault.InputInvalid, "example input is invalid")
	_, err = c.Client.Decorators.GetDecorator(t.Context(), &ruedov1.GetDecoratorRequest{Name: "new"})
	wantReason(t, err, fault.DecoratorNotFound) // a publish that fails leaves nothing
	publish.Example = []byte(`{"email":"ada@example.com"}`)
	res, err := c.TryPublish(t.Context(), publish, digest)
	if err != nil || len(res.GetDefinitions()) != 2 || res.GetDefinitions()[0].GetRevision() != 2 || res.GetDefinitions()[1].GetRevision() != 1 {
		t.Fatalf("%v, %v: want shape at revision 2, and new", res.GetDefinitions(), err)
	}
	if _, err := c.Client.Call(t.Context(), "echo", []byte(`{"email":"a"}`)); err != nil {
		t.Error(err)
	}
	if res, err = c.TryPublish(t.Context(), publish, digest); err != nil || !res.GetUnchanged() {
		t.Errorf("the same again: %v, %v", res, err)
	}

	// The other services that carry a definition guard it too.
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "other", Decorators: []string{"new"}}, roomy())
	publish.Definitions = []*ruedov1.Decorator{limited("new", 1<<20)}
	_, err = c.TryPublish(t.Context(), publish, digest)
	wantReason(t, err, fault.DecoratorBreaksServices, "other")
	publish.Force = true
	if _, err = c.TryPublish(t.Context(), publish, digest); err != nil {
		t.Errorf("forced: %v", err)
	}
}

func TestARollbackDoesNotFailBecauseOfALaterDecorator(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 2})
	createDecorator(t, c, limited("shared", 32<<20))
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "greet", Decorators: []string{"shared"}, Example: []byte(`{"old":1}`)}, roomy())
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "greet", Decorators: []string{"shared"}}, ruedotest.Echo())
	// The live revision can bear this one, the older one cannot.
	tight := limited("shared", 1<<20)
	tight.InputSchema = requires(t, "name")
	if _, err := updateDecorator(t, c, tight, false); err != nil {
		t.Fatal(err)
	}
	res, err := c.Client.Services.RollbackService(t.Context(), &ruedov1.RollbackServiceRequest{Name: "greet"})
	if err != nil {
		t.Fatal(err)
	}
	if l := res.GetService().GetLimits(); l.GetMemoryBytes() != 32<<20 {
		t.Errorf("restored limits: %v", l)
	}
	if _, err := c.Client.Call(t.Context(), "greet", []byte(`{"name":"Ada"}`)); err != nil {
		t.Errorf("call after the rollback: %v", err)
	}
	got, err := c.Client.Services.GetService(t.Context(), &ruedov1.GetServiceRequest{Name: "greet"})
	if err != nil || got.GetLimits()[0].GetValue() != "32 MiB" || got.GetLimits()[0].GetFollows() != "revision 1" {
		t.Errorf("effective limits: %v, %v", got.GetLimits(), err)
	}
	// It does not prevent changes of the decorator, whose limits do not concern it.
	tight.Limits.MemoryBytes = 2 << 20
	if _, err := updateDecorator(t, c, tight, false); err != nil {
		t.Error(err)
	}
	// The next publish has the decorators' limits again.
	back := c.Publish(t, &ruedov1.PublishServiceRequest{Name: "greet", Decorators: []string{"shared"}}, ruedotest.Echo())
	if back.GetService().GetLimits() != nil || back.GetService().GetRevision().GetNumber() != 3 {
		t.Errorf("published again: %v", back.GetService())
	}
}

func TestReadinessSaysWhyNot(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	if r := readiness(t, c, "echo"); r.GetRunners() != 1 || r.GetReason() != "" {
		t.Errorf("ready: %v", r)
	}
	c.Runners[0].Stop(t)
	testkit.Eventually(t, "no runner", func() bool { return readiness(t, c, "echo").GetReason() == "NO_RUNNER" })
	got, err := c.Client.Services.GetService(t.Context(), &ruedov1.GetServiceRequest{Name: "echo"})
	if err != nil || got.GetService().GetReadiness().GetReason() != "NO_RUNNER" {
		t.Errorf("describe: %v, %v", got.GetService().GetReadiness(), err)
	}
	// Without a runner nothing can be checked, and the answer says what to do.
	d := limited("d", 8<<20)
	createDecorator(t, c, d)
	c.AddRunner(t)
	publishEcho(t, c, &ruedov1.PublishServiceRequest{Decorators: []string{"d"}})
	c.Runners[1].Stop(t)
	testkit.Eventually(t, "no runner again", func() bool { return readiness(t, c, "echo").GetReason() == "NO_RUNNER" })
	_, err = updateDecorator(t, c, limited("d", 9<<20), false)
	wantReason(t, err, fault.NoRunner, "decorator d was not changed", "force the change")
	if _, err = updateDecorator(t, c, limited("d", 9<<20), true); err != nil {
		t.Error(err)
	}

	// A schema that only an older version could store.
	bad := limited("d", 9<<20)
	if bad.InputSchema, err = structpb.NewStruct(map[string]any{"type": "strnig"}); err != nil {
		t.Fatal(err)
	}
	value, err := proto.Marshal(bad)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Etcd.Client().Put(t.Context(), "/ruedo/test/decorators/d", string(value)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the schema is named", func() bool { return readiness(t, c, "echo").GetReason() == "SCHEMA_INVALID" })
}
