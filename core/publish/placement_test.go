package publish_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/publish"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func gpu(r *ruedov1.PublishServiceRequest) { r.Placement = " gpu,zone=eu-1 " }

// nobody is what runners answer if no runner meets the placement.
func nobody(_ context.Context, req *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error) {
	if p := req.GetPlan().GetPlacement(); p != "" {
		return nil, fault.New(fault.NoRunner, "no runner that meets the placement %s is attached and ready", p).With(fault.MetaPlacement, p)
	}
	return []*ruedov1.Preparation{{Runner: "r1"}}, nil
}

func TestAPlacementIsAPartOfTheRevision(t *testing.T) {
	w := newWorld()
	if _, err := w.publish(t, nil); err != nil {
		t.Fatal(err)
	}
	res, err := w.publish(t, gpu)
	if rev := res.GetService().GetRevision(); err != nil || rev.GetNumber() != 2 || rev.GetPlacement() != "gpu,zone=eu-1" || len(res.GetWarnings()) > 0 {
		t.Errorf("%v, %v", res, err)
	}
	if res, err = w.publish(t, gpu); err != nil || !res.GetUnchanged() {
		t.Errorf("the same again: %v, %v", res, err)
	}
	_, err = w.publish(t, func(r *ruedov1.PublishServiceRequest) { r.Placement = "zone in (eu-1" })
	testkit.WantReason(t, err, fault.RequestInvalid, `the placement of service greet: the label selector "zone in (eu-1" is not valid at character 14`, "write for example zone=eu-1,")
	w.did(t, "read greet", "module aaaa")
}

func TestAPlacementThatNoRunnerMeets(t *testing.T) {
	w := newWorld()
	w.prepare = nobody
	warned := func(res *ruedov1.PublishServiceResponse, err error) {
		t.Helper()
		if err != nil || len(res.GetWarnings()) != 1 || !strings.HasPrefix(res.GetWarnings()[0], "no runner that meets the placement gpu,zone=eu-1 is attached and ready") {
			t.Errorf("%v, %v", res, err)
		}
	}
	// Nothing runs that could stop to do so.
	warned(w.publish(t, gpu))
	w.did(t, "read greet", "module aaaa", "prepare aaaa", "write revision 1 over version 0", "wait for 10")

	// A live revision that can be executed stays, unless the publish is forced.
	if _, err := w.publish(t, nil); err != nil {
		t.Fatal(err)
	}
	_, err := w.publish(t, gpu)
	testkit.WantReason(t, err, fault.NoRunner, "is attached and ready. Revision 2 stays live", "or force the publish")
	w.did(t, "read greet", "module aaaa", "prepare aaaa")
	staged, err := w.publish(t, func(r *ruedov1.PublishServiceRequest) { gpu(r); r.NoLive = true })
	warned(staged, err)
	if staged.GetService().GetRevision().GetNumber() != 2 {
		t.Errorf("a revision that is not to be live: %v", staged)
	}
	warned(w.publish(t, func(r *ruedov1.PublishServiceRequest) { gpu(r); r.Force = true }))

	// One that cannot be executed is replaced.
	if _, err := w.publish(t, nil); err != nil {
		t.Fatal(err)
	}
	w.idle = true
	warned(w.publish(t, gpu))

	// A rollback needs a runner.
	w.service.Revision, w.idle = w.revisions[2], false
	_, _, err = w.publisher(0).Rollback(coretest.Context(t), "greet", 1)
	testkit.WantReason(t, err, fault.NoRunner, "no runner that meets the placement gpu,zone=eu-1")

	// Without a placement it is an error that nobody is there, as ever.
	w.prepare = func(context.Context, *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error) {
		return nil, fault.New(fault.NoRunner, "no runner is attached and ready")
	}
	_, err = w.publish(t, func(r *ruedov1.PublishServiceRequest) { r.Args = []string{"-v"} })
	testkit.WantReason(t, err, fault.NoRunner, "no runner is attached and ready")
}

func TestAPlacementThatIsNotApplied(t *testing.T) {
	w := newWorld()
	p := publish.New(publish.Config{Store: memory{w}, Mirror: mirror{w}, Catalog: catalog{w}, Dispatcher: runners{w}, AnyPlacement: true})
	res, err := p.Publish(coretest.Context(t), &ruedov1.PublishServiceRequest{Name: "greet", Module: coretest.Digest, Placement: "gpu"})
	want := []string{"the placement gpu is stored but not applied: this cluster executes services on any runner"}
	if err != nil || !slices.Equal(res.GetWarnings(), want) || res.GetService().GetRevision().GetPlacement() != "gpu" {
		t.Errorf("%v, %v", res, err)
	}
}
