package publish_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/publish"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/route"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// httpWorld is a world whose module is of kind http.
func httpWorld() *world {
	w := newWorld()
	w.modules[coretest.Digest].Kind = ruedov1.Kind_KIND_HTTP
	return w
}

func request(path string) *ruedov1.HttpExample { return &ruedov1.HttpExample{Path: path} }

func TestTheExamplesOfAServiceOfKindHTTP(t *testing.T) {
	w := httpWorld()
	res, err := w.publish(t, nil)
	if err != nil || len(res.GetWarnings()) != 1 || !strings.Contains(res.GetWarnings()[0], "has no example") || !strings.Contains(res.GetWarnings()[0], "example: {method: GET, path: /}") {
		t.Errorf("without an example: %v, %v", res.GetWarnings(), err)
	}
	with := func(r *ruedov1.PublishServiceRequest) {
		r.HttpExamples = []*ruedov1.HttpExample{request("/"), {Method: "POST", Path: "/greet", Headers: map[string]string{"content-type": "text/plain"}, Body: []byte("Ada")}}
	}
	var limits *ruedov1.Limits
	var examples []*ruedov1.HttpExample
	res, err = w.publish(t, with)
	if err != nil || len(res.GetWarnings()) > 0 {
		t.Fatalf("%v, %v", res.GetWarnings(), err)
	}
	rev := res.GetService().GetRevision()
	limits, examples = rev.GetLimits(), rev.GetHttpExamples()
	if rev.GetNumber() != 2 || len(examples) != 2 || !proto.Equal(examples[0], request("/")) {
		t.Errorf("stored %v", rev)
	}
	if limits.GetTimeout().GetSeconds() != 60 || limits.GetIdle().GetSeconds() != 300 || limits.GetInputBytes() != 64<<20 {
		t.Errorf("its limits are %v", limits)
	}
	if res, err = w.publish(t, with); err != nil || !res.GetUnchanged() {
		t.Errorf("the same again: %v, %v", res, err)
	}
	for want, change := range map[string]func(*ruedov1.PublishServiceRequest){
		"not the input of a function": func(r *ruedov1.PublishServiceRequest) { r.Example = []byte("{}") },
		"can have no schemas": func(r *ruedov1.PublishServiceRequest) {
			r.InputSchema = coretest.Decorator(t, "", 0, `{"type":"object"}`).InputSchema
		},
		"over the limit of 65536": func(r *ruedov1.PublishServiceRequest) {
			for range 3 {
				r.HttpExamples = append(r.HttpExamples, &ruedov1.HttpExample{Path: "/", Body: make([]byte, 30_000)})
			}
		},
		"there twice": func(r *ruedov1.PublishServiceRequest) {
			r.Routes = []*ruedov1.Route{{Path: "/a/"}, {Path: "/a/", Methods: []string{"GET"}}}
		},
		"the API": func(r *ruedov1.PublishServiceRequest) { r.Routes = []*ruedov1.Route{{Path: "/"}} },
	} {
		_, err := w.publish(t, change)
		testkit.WantReason(t, err, fault.RequestInvalid, want, "greet")
	}
}

func TestAFunctionHasNeitherRequestsNorRoutes(t *testing.T) {
	w := newWorld()
	_, err := w.publish(t, func(r *ruedov1.PublishServiceRequest) { r.HttpExamples = []*ruedov1.HttpExample{request("/")} })
	testkit.WantReason(t, err, fault.RequestInvalid, "not of kind http")
	_, err = w.publish(t, func(r *ruedov1.PublishServiceRequest) { r.Routes = []*ruedov1.Route{{Path: "/a/"}} })
	testkit.WantReason(t, err, fault.RequestInvalid, "not of kind http", "/call/greet")
	w.did(t, "read greet", "module aaaa")
}

func TestDecoratorsThatAKindCannotCarry(t *testing.T) {
	w := httpWorld()
	w.decorators["typed"] = coretest.Decorator(t, "typed", 1, `{"type":"object"}`)
	w.decorators["long"] = &ruedov1.Decorator{Name: "long", Limits: &ruedov1.Limits{Timeout: durationpb.New(7200e9)}}
	carry := func(name string) func(*ruedov1.PublishServiceRequest) {
		return func(r *ruedov1.PublishServiceRequest) { r.Decorators = []string{name} }
	}
	_, err := w.publish(t, carry("typed"))
	testkit.WantReason(t, err, fault.DecoratorInvalid, "of kind http and cannot carry decorator typed, which has an input schema", "check requests in the handler")
	if _, err := w.publish(t, carry("long")); err != nil {
		t.Error(err)
	}
	w = newWorld()
	w.decorators["long"] = &ruedov1.Decorator{Name: "long", Limits: &ruedov1.Limits{Timeout: durationpb.New(7200e9)}}
	_, err = w.publish(t, carry("long"))
	testkit.WantReason(t, err, fault.DecoratorInvalid, "timeout is 2h0m0s", "only for services of kind http", "decorator long")
}

const routed = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752" // of "test2"

// newRouted returns a bench with a module of kind http.
func newRouted(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, 0, publish.Config{})
	if err := b.store.PutModule(storetest.Context(t), &ruedov1.Module{Digest: routed, SizeBytes: 5, Kind: ruedov1.Kind_KIND_HTTP}, []byte("test2")); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) route(t *testing.T, name string, change func(*ruedov1.PublishServiceRequest), routes ...string) error {
	req := &ruedov1.PublishServiceRequest{Name: name, Module: routed}
	for _, text := range routes {
		r, err := route.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		req.Routes = append(req.Routes, r)
	}
	if change != nil {
		change(req)
	}
	_, err := b.Publish(storetest.Context(t), req)
	return err
}

func TestARouteBelongsToOneService(t *testing.T) {
	b := newRouted(t)
	leads := func(path, want string) {
		t.Helper()
		if got, _ := b.catalog.Lookup("any", path, "GET"); got != want {
			t.Errorf("%s leads to %q, want %q", path, got, want)
		}
	}
	if err := b.route(t, "shop", nil, "/shop/", "GET /news"); err != nil {
		t.Fatal(err)
	}
	leads("/shop/x", "shop")
	err := b.route(t, "other", nil, "/free/", "GET,POST /shop/")
	testkit.WantReason(t, err, fault.Conflict, "GET,POST /shop/", "route /shop/ of service shop", "publish shop without that route")
	leads("/free/", "")
	if err := b.route(t, "other", nil, "/shop/more/", "POST /news"); err != nil {
		t.Error(err)
	}
	leads("/shop/more/x", "other")
	// A service keeps its own, and what it gives up is free.
	if err := b.route(t, "shop", nil, "/store/"); err != nil {
		t.Error(err)
	}
	leads("/shop/x", "")
	if err := b.route(t, "other", nil, "/shop/"); err != nil {
		t.Error(err)
	}
	// A revision cannot take back what another service has by now.
	_, _, err = b.Rollback(storetest.Context(t), "shop", 1)
	testkit.WantReason(t, err, fault.Conflict, "of service other")
	leads("/shop/x", "other")
	if _, err := b.store.DeleteService(storetest.Context(t), "other"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Rollback(storetest.Context(t), "shop", 1); err != nil {
		t.Error(err)
	}
	leads("/shop/x", "shop")
}

func TestOfTwoPublishesOneGetsTheRoute(t *testing.T) {
	b := newRouted(t)
	const n = 4
	for round := range 5 {
		at := fmt.Sprintf("/r%d/", round)
		errs := make([]error, n)
		var running sync.WaitGroup
		for i := range n {
			running.Go(func() {
				errs[i] = b.route(t, fmt.Sprintf("s%d-%d", round, i), nil, at, fmt.Sprintf("/own/%d/%d/", round, i))
			})
		}
		running.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			testkit.WantReason(t, err, fault.Conflict)
		}
		if won != 1 {
			t.Errorf("round %d: %d publishes got the route: %v", round, won, errs)
		}
	}
}
