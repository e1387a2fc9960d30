package publish_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/core/publish"
	"github.com/ruedo-dev/ruedo/core/store"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// world is all that a publisher talks to. It records what it is asked, in order.
type world struct {
	steps []string

	service    *ruedov1.Service // nil: it is not published
	revisions  map[uint64]*ruedov1.Revision
	modules    map[string]*ruedov1.Module
	decorators map[string]*ruedov1.Decorator
	fails      map[string]error // by the first word of a step

	compiled string // the module that a live service uses

	idle bool // nobody can execute the live revision

	// prepare is what the runners do; nil means that one of them is ready.
	prepare func(ctx context.Context, req *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error)
	// plans are those that runners can ask for before they are live.
	plans map[string]*runnerv1.Plan
}

func newWorld() *world {
	return &world{
		revisions:  map[uint64]*ruedov1.Revision{},
		modules:    map[string]*ruedov1.Module{coretest.Digest: {Digest: coretest.Digest, SizeBytes: 7, Kind: ruedov1.Kind_KIND_FUNCTION}},
		decorators: map[string]*ruedov1.Decorator{},
		fails:      map[string]error{},
		plans:      map[string]*runnerv1.Plan{},
	}
}

func (w *world) publisher(timeout time.Duration) *publish.Publisher {
	return publish.New(publish.Config{Store: memory{w}, Mirror: mirror{w}, Catalog: catalog{w}, Dispatcher: runners{w}, PrepareTimeout: timeout})
}

// publish publishes the one service of these tests.
func (w *world) publish(t *testing.T, change func(*ruedov1.PublishServiceRequest)) (*ruedov1.PublishServiceResponse, error) {
	t.Helper()
	req := &ruedov1.PublishServiceRequest{Name: "greet", Module: coretest.Digest}
	if change != nil {
		change(req)
	}
	w.steps = nil
	return w.publisher(0).Publish(coretest.Context(t), req)
}

func (w *world) step(format string, args ...any) error {
	step := fmt.Sprintf(format, args...)
	w.steps = append(w.steps, step)
	word, _, _ := strings.Cut(step, " ")
	return w.fails[word]
}

// did checks which steps were taken.
func (w *world) did(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(w.steps, want) {
		t.Errorf("the steps were\n\t%s\nwant\n\t%s", strings.Join(w.steps, "\n\t"), strings.Join(want, "\n\t"))
	}
	if len(w.plans) > 0 {
		t.Errorf("%d plans are still shared", len(w.plans))
	}
}

type (
	memory  struct{ *world }
	mirror  struct{ *world }
	catalog struct{ *world }
	runners struct{ *world }
)

func (m memory) Published(_ context.Context, name string) (*ruedov1.Service, error) {
	if err := m.step("read %s", name); err != nil || m.service != nil {
		return m.service, err
	}
	return &ruedov1.Service{Name: name}, nil
}

func (m memory) Service(_ context.Context, name string) (*ruedov1.Service, error) {
	if err := m.step("read %s", name); err != nil || m.service != nil {
		return m.service, err
	}
	return nil, fault.New(fault.ServiceNotFound, "there is no service %q", name)
}

func (m memory) Revision(_ context.Context, service string, n uint64) (*ruedov1.Revision, error) {
	err := m.step("revision %d", n)
	if r := m.revisions[n]; r != nil || err != nil {
		return r, err
	}
	return nil, fault.New(fault.RevisionNotFound, "service %s has no revision %d", service, n)
}

func (m memory) StatModule(_ context.Context, digest string) (*ruedov1.Module, error) {
	err := m.step("module %.4s", digest)
	if got := m.modules[digest]; got != nil || err != nil {
		return got, err
	}
	return nil, fault.New(fault.ModuleNotFound, "there is no module %s", digest)
}

func (m memory) Decorator(_ context.Context, name string) (*ruedov1.Decorator, error) {
	err := m.step("decorator %s", name)
	if got := m.decorators[name]; got != nil || err != nil {
		return got, err
	}
	return nil, fault.New(fault.DecoratorNotFound, "there is no decorator %q", name)
}

func (m memory) PublishService(_ context.Context, svc *ruedov1.Service, seen int64) (*ruedov1.Service, error) {
	if err := m.step("write revision %d over version %d", svc.GetRevision().GetNumber(), seen); err != nil {
		return nil, err
	}
	m.service = proto.CloneOf(svc)
	m.service.Version = seen + 10
	m.revisions[svc.GetRevision().GetNumber()] = m.service.Revision
	return m.service, nil
}

func (m memory) Publish(ctx context.Context, p store.Publication) (*ruedov1.Service, []*ruedov1.Decorator, error) {
	svc, err := m.PublishService(ctx, p.Service, p.Seen)
	return svc, nil, err
}

// The rest is for changes of decorators; see carriers_test.go.
func (memory) Carriers(context.Context, ...string) ([]*ruedov1.Service, int64, error) {
	return nil, 0, errors.ErrUnsupported
}

func (memory) Routed(context.Context) ([]*ruedov1.Service, int64, error) {
	return nil, 0, errors.ErrUnsupported
}

func (memory) CreateDecorator(context.Context, *ruedov1.Decorator) (*ruedov1.Decorator, error) {
	return nil, errors.ErrUnsupported
}

func (memory) UpdateDecorator(context.Context, store.Change) (*ruedov1.Decorator, error) {
	return nil, errors.ErrUnsupported
}

func (memory) DecoratorRevision(context.Context, string, uint64) (*ruedov1.Decorator, error) {
	return nil, errors.ErrUnsupported
}

func (m mirror) Wait(_ context.Context, revision int64) error { return m.step("wait for %d", revision) }

func (c catalog) ShareUnpublished(id string, plan *runnerv1.Plan) (forget func()) {
	c.plans[id] = plan
	return func() { delete(c.plans, id) }
}

func (c catalog) Compiled(module string) bool           { return c.compiled == module }
func (c catalog) State(string) (plan string, err error) { return "live", nil }
func (catalog) Compiler() *decorate.Compiler            { return decorate.NewCompiler() }

func (c catalog) Decorator(stored *ruedov1.Decorator) *decorate.Decorator {
	return decorate.NewCompiler().Decorator(stored)
}

func (r runners) Prepare(ctx context.Context, req *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error) {
	if err := r.step("prepare %.4s", req.GetPlan().GetModule()); err != nil {
		return nil, err
	}
	if r.plans[req.GetId()] == nil {
		return nil, errors.New("the runners cannot ask for the plan that they prepare")
	}
	if r.prepare != nil {
		return r.prepare(ctx, req)
	}
	return []*ruedov1.Preparation{{Runner: "r1"}}, nil
}

func (r runners) Prepared(string) (int, *fault.Error) {
	if r.idle {
		return 0, fault.New(fault.NoRunner, "no runner is attached and ready")
	}
	return 1, nil
}

func TestStepsOfAPublish(t *testing.T) {
	w := newWorld()
	w.decorators["small"] = &ruedov1.Decorator{Name: "small", Version: 1}
	res, err := w.publish(t, func(req *ruedov1.PublishServiceRequest) { req.Decorators = []string{"small"} })
	if err != nil {
		t.Fatal(err)
	}
	w.did(t, "read greet", "module aaaa", "decorator small", "prepare aaaa", "write revision 1 over version 0", "wait for 10")
	s := res.GetService()
	if s.GetVersion() != 10 || s.GetLatest() != 1 || s.GetCreateTime() == nil || s.GetRevision().GetModuleBytes() != 7 || len(res.GetPreparations()) != 1 {
		t.Errorf("published %v", res)
	}

	// The next one is another revision of the same service.
	res, err = w.publish(t, func(req *ruedov1.PublishServiceRequest) { req.Args = []string{"-v"} })
	if err != nil {
		t.Fatal(err)
	}
	w.did(t, "read greet", "module aaaa", "prepare aaaa", "write revision 2 over version 10", "wait for 20")
	if !proto.Equal(res.GetService().GetCreateTime(), s.GetCreateTime()) {
		t.Error("the service has another time of creation")
	}
}

func TestTheSameContentIsNotPreparedAgain(t *testing.T) {
	w := newWorld()
	if _, err := w.publish(t, nil); err != nil {
		t.Fatal(err)
	}
	res, err := w.publish(t, nil)
	if err != nil || !res.GetUnchanged() || res.GetService().GetVersion() != 10 {
		t.Errorf("%v, %v", res, err)
	}
	w.did(t, "read greet", "module aaaa", "wait for 10") // another core may have published it

	// Words about the service make no revision.
	res, err = w.publish(t, func(req *ruedov1.PublishServiceRequest) { req.Description = "greets" })
	if err != nil || res.GetUnchanged() || res.GetService().GetRevision().GetNumber() != 1 {
		t.Errorf("%v, %v", res, err)
	}
	w.did(t, "read greet", "module aaaa", "write revision 1 over version 10", "wait for 20")
}

// The schemas of the types are content of a revision, and are admitted as those
// of decorators are.
func TestTheSchemasOfTheTypesAreStoredWithTheRevision(t *testing.T) {
	w := newWorld()
	in, out := coretest.Decorator(t, "", 0, `{"required":["name"]}`).InputSchema, coretest.Decorator(t, "", 0, `{"type":"object"}`).InputSchema
	typed := func(r *ruedov1.PublishServiceRequest) { r.InputSchema, r.OutputSchema = in, out }
	if _, err := w.publish(t, nil); err != nil {
		t.Fatal(err)
	}
	res, err := w.publish(t, typed)
	if rev := res.GetService().GetRevision(); err != nil || rev.GetNumber() != 2 || !proto.Equal(rev.GetInputSchema(), in) || !proto.Equal(rev.GetOutputSchema(), out) {
		t.Errorf("%v, %v", res, err)
	}
	if res, err = w.publish(t, typed); err != nil || !res.GetUnchanged() {
		t.Errorf("%v, %v", res, err)
	}
	_, err = w.publish(t, func(r *ruedov1.PublishServiceRequest) { typed(r); r.Example = []byte(`{"nme":1}`) })
	testkit.WantReason(t, err, fault.InputInvalid, "example", "correct the example")
	broken := coretest.Decorator(t, "", 0, `{"type":"strnig"}`).InputSchema
	_, err = w.publish(t, func(r *ruedov1.PublishServiceRequest) { r.InputSchema = broken })
	testkit.WantReason(t, err, fault.SchemaInvalid, "the input schema of service greet")
	w.did(t, "read greet", "module aaaa")
	_, err = w.publish(t, func(r *ruedov1.PublishServiceRequest) { r.OutputSchema = broken })
	testkit.WantReason(t, err, fault.SchemaInvalid, "the output schema of service greet")
	if w.service.GetLatest() != 2 {
		t.Errorf("revision %d is the newest", w.service.GetLatest())
	}

	// A rollback brings back what the older revision accepts.
	s, _, err := w.publisher(0).Rollback(coretest.Context(t), "greet", 1)
	if err != nil || s.GetRevision().GetInputSchema() != nil {
		t.Errorf("%v, %v", s, err)
	}
}

// A late runner, or one that fails, does not hold up the others.
func TestOneRunnerThatIsReadyIsEnough(t *testing.T) {
	w := newWorld()
	w.prepare = func(context.Context, *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error) {
		return []*ruedov1.Preparation{
			{Runner: "late", Error: "goes on in the background", Late: true, Isolation: ruedov1.Isolation_ISOLATION_SHARED},
			{Runner: "ready", Isolation: ruedov1.Isolation_ISOLATION_FRESH, IsolationReason: "its tables change"},
		}, nil
	}
	res, err := w.publish(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	rev := res.GetService().GetRevision()
	if rev.GetEffectiveIsolation() != ruedov1.Isolation_ISOLATION_FRESH || rev.GetIsolationReason() != "its tables change" {
		t.Errorf("isolation %v, %q: want what the runner that is ready found", rev.GetEffectiveIsolation(), rev.GetIsolationReason())
	}
	if len(res.GetPreparations()) != 2 {
		t.Errorf("the caller learns of %d runners, want 2", len(res.GetPreparations()))
	}
}

// Runners are patient with what was compiled before: a module that a live service
// uses, and that of a stored revision.
func TestRunnersLearnWhatWasCompiledBefore(t *testing.T) {
	w := newWorld()
	var asked []bool
	w.prepare = func(_ context.Context, req *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error) {
		asked = append(asked, req.GetCompiled())
		return []*ruedov1.Preparation{{Runner: "ready"}}, nil
	}
	if _, err := w.publish(t, nil); err != nil {
		t.Fatal(err)
	}
	w.compiled = coretest.Digest
	if _, err := w.publish(t, func(r *ruedov1.PublishServiceRequest) { r.Args = []string{"again"} }); err != nil {
		t.Fatal(err)
	}
	w.compiled, w.service = "", coretest.Service("greet", 2)
	w.revisions[1] = coretest.Service("greet", 1).GetRevision()
	if _, _, err := w.publisher(0).Rollback(coretest.Context(t), "greet", 1); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(asked, []bool{false, true, true}) {
		t.Errorf("the runners were told %v", asked)
	}
}

func TestRunnersThatDoNotAnswerEndThePublishInTime(t *testing.T) {
	w := newWorld()
	w.prepare = func(ctx context.Context, _ *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error) {
		<-ctx.Done()
		return nil, fault.Wrap(ctx.Err(), fault.PrepareUnavailable, "no runner has answered")
	}
	_, err := w.publisher(5*time.Millisecond).Publish(coretest.Context(t), &ruedov1.PublishServiceRequest{Name: "greet", Module: coretest.Digest})
	testkit.WantReason(t, err, fault.PrepareUnavailable)
	w.did(t, "read greet", "module aaaa", "prepare aaaa")
}

// Whatever fails, nothing later happens and the live revision stays.
func TestAPublishThatFailsChangesNothing(t *testing.T) {
	w := newWorld()
	w.decorators["named"] = coretest.Decorator(t, "named", 1, `{"required":["name"]}`)
	w.decorators["broken"] = coretest.Decorator(t, "broken", 1, `{"type":"strnig"}`)
	if _, err := w.publish(t, nil); err != nil {
		t.Fatal(err)
	}
	live := proto.CloneOf(w.service)
	down := fault.New(fault.StoreUnavailable, "the store does not answer")
	for _, c := range []struct {
		what   string
		change func(*ruedov1.PublishServiceRequest)
		fails  map[string]error
		want   fault.Reason
		says   []string
		steps  []string
	}{
		{what: "another version is expected",
			change: func(r *ruedov1.PublishServiceRequest) { r.ExpectedVersion = 9 },
			want:   fault.Conflict, says: []string{"it is at version 10, not 9", "look at the service"},
			steps: []string{"read greet"}},
		{what: "the module is missing",
			change: func(r *ruedov1.PublishServiceRequest) { r.Module = strings.Repeat("b", 64) },
			want:   fault.ModuleNotFound, says: []string{"bbbb"},
			steps: []string{"read greet", "module bbbb"}},
		{what: "a decorator is missing",
			change: func(r *ruedov1.PublishServiceRequest) { r.Decorators = []string{"named", "nmaed"} },
			want:   fault.DecoratorNotFound, says: []string{"nmaed"},
			steps: []string{"read greet", "module aaaa", "decorator named", "decorator nmaed"}},
		{what: "a schema is broken",
			change: func(r *ruedov1.PublishServiceRequest) { r.Decorators = []string{"broken"} },
			want:   fault.SchemaInvalid, says: []string{"broken"},
			steps: []string{"read greet", "module aaaa", "decorator broken"}},
		{what: "the example does not fit",
			change: func(r *ruedov1.PublishServiceRequest) {
				r.Decorators, r.Example = []string{"named"}, []byte(`{"nme":"Ada"}`)
			},
			want: fault.InputInvalid, says: []string{"example", "correct the example, or the schema"},
			steps: []string{"read greet", "module aaaa", "decorator named"}},
		{what: "no runner can prepare it",
			change: func(r *ruedov1.PublishServiceRequest) { r.Args = []string{"x"} },
			fails:  map[string]error{"prepare": fault.New(fault.GuestTrap, "the module traps when it starts")},
			want:   fault.GuestTrap, says: []string{"traps when it starts"},
			steps: []string{"read greet", "module aaaa", "prepare aaaa"}},
		{what: "there is no runner",
			change: func(r *ruedov1.PublishServiceRequest) { r.Args = []string{"x"} },
			fails:  map[string]error{"prepare": fault.New(fault.NoRunner, "no runner is attached")},
			want:   fault.NoRunner,
			steps:  []string{"read greet", "module aaaa", "prepare aaaa"}},
		{what: "somebody else was faster",
			change: func(r *ruedov1.PublishServiceRequest) { r.Args = []string{"x"} },
			fails:  map[string]error{"write": fault.New(fault.Conflict, "service greet has changed")},
			want:   fault.Conflict,
			steps:  []string{"read greet", "module aaaa", "prepare aaaa", "write revision 2 over version 10"}},
		{what: "the store is down from the start",
			fails: map[string]error{"read": down}, want: fault.StoreUnavailable, steps: []string{"read greet"}},
		{what: "the store goes down while the module is looked up",
			fails: map[string]error{"module": down}, want: fault.StoreUnavailable, steps: []string{"read greet", "module aaaa"}},
		{what: "the store goes down while runners prepare",
			change: func(r *ruedov1.PublishServiceRequest) { r.Args = []string{"x"} },
			fails:  map[string]error{"write": down}, want: fault.StoreUnavailable,
			steps: []string{"read greet", "module aaaa", "prepare aaaa", "write revision 2 over version 10"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			w.fails = c.fails
			res, err := w.publish(t, c.change)
			if res != nil {
				t.Errorf("it answers %v", res)
			}
			testkit.WantReason(t, err, c.want, c.says...)
			w.did(t, c.steps...)
			if !proto.Equal(w.service, live) {
				t.Errorf("the service is now %v", w.service)
			}
		})
	}
}

// The revision is live then, and other cores have it; the caller must not take
// the answer of this core for it.
func TestAPublishThatThisCoreDoesNotSeeIsAnError(t *testing.T) {
	w := newWorld()
	w.fails["wait"] = fault.New(fault.StoreUnavailable, "this core has not seen it")
	_, err := w.publish(t, nil)
	testkit.WantReason(t, err, fault.StoreUnavailable, "has not seen it")
	w.did(t, "read greet", "module aaaa", "prepare aaaa", "write revision 1 over version 0", "wait for 10")
}

func TestStepsOfARollback(t *testing.T) {
	w := newWorld()
	for n := range 3 {
		if _, err := w.publish(t, func(r *ruedov1.PublishServiceRequest) { r.Args = []string{fmt.Sprint(n)} }); err != nil {
			t.Fatal(err)
		}
	}
	p := w.publisher(0)
	for _, c := range []struct {
		to, was, is uint64
		steps       []string
	}{
		{0, 3, 2, []string{"read greet", "revision 2", "prepare aaaa", "write revision 2 over version 30", "wait for 40"}},
		{0, 2, 1, []string{"read greet", "revision 1", "prepare aaaa", "write revision 1 over version 40", "wait for 50"}},
		{3, 1, 3, []string{"read greet", "revision 3", "prepare aaaa", "write revision 3 over version 50", "wait for 60"}},
		{3, 3, 3, []string{"read greet", "wait for 60"}}, // it is live
	} {
		w.steps = nil
		s, was, err := p.Rollback(coretest.Context(t), "greet", c.to)
		if err != nil || was != c.was || s.GetRevision().GetNumber() != c.is || s.GetLatest() != 3 {
			t.Errorf("back to %d: %v, was %d, %v", c.to, s, was, err)
		}
		w.did(t, c.steps...)
	}
}

// The revision was not there when the service was read, and is when it is read
// itself.
func TestARollbackToARevisionThatIsPublishedMeanwhile(t *testing.T) {
	w := newWorld()
	if _, err := w.publish(t, nil); err != nil {
		t.Fatal(err)
	}
	w.revisions[2], w.steps = coretest.Service("greet", 2).GetRevision(), nil
	_, _, err := w.publisher(0).Rollback(coretest.Context(t), "greet", 2)
	testkit.WantReason(t, err, fault.Conflict, "revision 2 of service greet was published at this very moment", "try again")
	w.did(t, "read greet", "revision 2")
}

func TestARollbackThatFailsChangesNothing(t *testing.T) {
	w := newWorld()
	p := w.publisher(0)
	_, _, err := p.Rollback(coretest.Context(t), "greet", 0)
	testkit.WantReason(t, err, fault.ServiceNotFound)
	if _, err := w.publish(t, nil); err != nil {
		t.Fatal(err)
	}
	_, _, err = p.Rollback(coretest.Context(t), "greet", 0)
	testkit.WantReason(t, err, fault.RevisionNotFound, "no revision before 1", "list the revisions")
	_, _, err = p.Rollback(coretest.Context(t), "greet", 7)
	testkit.WantReason(t, err, fault.RevisionNotFound)
	if _, err := w.publish(t, func(r *ruedov1.PublishServiceRequest) { r.Args = []string{"x"} }); err != nil {
		t.Fatal(err)
	}
	for word, reason := range map[string]fault.Reason{"prepare": fault.NoRunner, "write": fault.Conflict} {
		w.steps, w.fails = nil, map[string]error{word: fault.New(reason, "no")}
		_, _, err = p.Rollback(coretest.Context(t), "greet", 1)
		testkit.WantReason(t, err, reason)
		if last := w.steps[len(w.steps)-1]; !strings.HasPrefix(last, word) || w.service.GetRevision().GetNumber() != 2 {
			t.Errorf("the last step was %q, and revision %d is live", last, w.service.GetRevision().GetNumber())
		}
	}
}
