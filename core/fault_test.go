package core_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// spoil overwrites values in the store with unreadable ones.
func spoil(t *testing.T, c *ruedotest.Cluster, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if _, err := c.Etcd.Client().Put(t.Context(), "/ruedo/test/"+key, "\xff\xff\xff"); err != nil {
			t.Fatal(err)
		}
	}
}

// calls checks that a service answers a call.
func calls(t *testing.T, c *ruedotest.Cluster, service string) {
	t.Helper()
	res, err := c.Client.Call(t.Context(), service, []byte(`{"n":1}`))
	if err != nil || string(res.Output) != `{"n":1}` {
		t.Fatalf("call %s: %v", service, err)
	}
}

func TestPublishingAgainHealsADamagedModule(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	spoil(t, c, "modules/"+client.Digest(ruedotest.Echo())+"/chunks/000000")

	late := c.AddRunner(t)
	c.Runners[0].Stop(t)
	if _, err := c.Client.Call(t.Context(), "echo", []byte(`{}`)); !errors.Is(err, fault.Integrity) {
		t.Fatalf("a runner without the module: %v, want INTEGRITY", err)
	}
	// Another core, to which no runner has reported it.
	other := ruedotest.New(t, ruedotest.Options{Etcd: c.Etcd, Runners: -1})
	for _, c := range []*ruedotest.Cluster{c, other} {
		if _, err := c.Client.Modules.StatModule(t.Context(), &ruedov1.StatModuleRequest{Digest: client.Digest(ruedotest.Echo())}); !errors.Is(err, fault.ModuleNotFound) {
			t.Errorf("the module is known: %v", err)
		}
	}
	if res := publishEcho(t, c, &ruedov1.PublishServiceRequest{}); !res.GetUnchanged() {
		t.Errorf("published %v", res)
	}
	calls(t, c, "echo")
	late.Stop(t)
	c.AddRunner(t)
	calls(t, c, "echo")
}

func TestDamagedServicesAndDecoratorsAreRepaired(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	decorators := []*ruedov1.Decorator{{Name: "quick", Limits: quick}, {Name: "other", Limits: quick}}
	for _, d := range decorators {
		if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: d}); err != nil {
			t.Fatal(err)
		}
	}
	publishEcho(t, c, &ruedov1.PublishServiceRequest{Decorators: []string{"quick"}})
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "carrier", Decorators: []string{"other"}}, ruedotest.Echo())
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "plain"}, ruedotest.Echo())
	spoil(t, c, "services/echo", "decorators/other")

	// The core that had read them goes on, and reports what is wrong.
	alarm := func() *ruedov1.Alarm {
		s, err := c.Client.Cluster.GetStatus(t.Context(), &ruedov1.GetStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range s.GetAlarms() {
			if a.GetReason() == string(fault.Integrity) {
				return a
			}
		}
		return nil
	}
	testkit.Eventually(t, "status tells of both", func() bool { return strings.Contains(alarm().GetMessage(), "decorator other, service echo") })
	for _, name := range []string{"echo", "carrier", "plain"} {
		calls(t, c, name)
	}

	// A core that starts now has no good value. It fails with INTEGRITY, not
	// with 404, and other services work.
	late := ruedotest.New(t, ruedotest.Options{Etcd: c.Etcd, Runners: 1})
	for _, name := range []string{"echo", "carrier"} {
		if _, err := late.Client.Call(t.Context(), name, []byte(`{}`)); !errors.Is(err, fault.Integrity) {
			t.Errorf("call %s: %v, want INTEGRITY", name, err)
		}
		if _, err := late.Client.Services.GetService(t.Context(), &ruedov1.GetServiceRequest{Name: name}); !errors.Is(err, fault.Integrity) {
			t.Errorf("get %s: %v, want INTEGRITY", name, err)
		}
	}
	if _, err := late.Client.Decorators.GetDecorator(t.Context(), &ruedov1.GetDecoratorRequest{Name: "other"}); !errors.Is(err, fault.Integrity) {
		t.Errorf("%v, want INTEGRITY", err)
	}
	calls(t, late, "plain")

	// Users repair it: they publish again and apply again.
	if _, err := late.Client.Decorators.UpdateDecorator(t.Context(), &ruedov1.UpdateDecoratorRequest{Decorator: decorators[1]}); err != nil {
		t.Fatal(err)
	}
	if res := publishEcho(t, late, &ruedov1.PublishServiceRequest{Decorators: []string{"quick"}}); res.GetService().GetRevision().GetNumber() != 2 {
		t.Errorf("published %v", res)
	}
	for _, name := range []string{"echo", "carrier", "plain"} {
		calls(t, late, name)
	}
	testkit.Eventually(t, "the alarm ends", func() bool { return alarm() == nil })

	// A service that lost its key continues with the numbers of its revisions.
	if _, err := c.Etcd.Client().Delete(t.Context(), "/ruedo/test/services/echo"); err != nil {
		t.Fatal(err)
	}
	if res := publishEcho(t, late, &ruedov1.PublishServiceRequest{}); res.GetService().GetRevision().GetNumber() != 3 {
		t.Errorf("published %v", res)
	}
	// And deletion does not need a readable value.
	spoil(t, c, "services/echo")
	if _, err := late.Client.Services.DeleteService(t.Context(), &ruedov1.DeleteServiceRequest{Name: "echo"}); err != nil {
		t.Error(err)
	}
	spoil(t, c, "decorators/quick")
	if _, err := late.Client.Decorators.DeleteDecorator(t.Context(), &ruedov1.DeleteDecoratorRequest{Name: "quick"}); err != nil {
		t.Error(err)
	}
}

// fill writes decorators directly to the store, many in one transaction.
func fill(t *testing.T, c *ruedotest.Cluster, n int, description string) {
	t.Helper()
	var ops []clientv3.Op
	for i := range n {
		value, err := proto.Marshal(&ruedov1.Decorator{Description: description, Tags: []string{fmt.Sprint("t", i%2)}})
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("/ruedo/test/decorators/d%05d", i), string(value)))
	}
	for part := range slices.Chunk(ops, 8) {
		if _, err := c.Etcd.Client().Txn(t.Context()).Then(part...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestListsAreBounded(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true})
	list := func(req *ruedov1.ListDecoratorsRequest) *ruedov1.ListDecoratorsResponse {
		t.Helper()
		res, err := c.Client.Decorators.ListDecorators(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	fill(t, c, 1200, "")
	testkit.Eventually(t, "all are there", func() bool {
		all, err := client.All(c.Client.ListDecorators(t.Context(), &ruedov1.ListDecoratorsRequest{}))
		return err == nil && len(all) == 1200
	})
	// A client that knows nothing of pages, and one that wants too much.
	for _, size := range []int32{0, 1000, 1 << 30} {
		if res := list(&ruedov1.ListDecoratorsRequest{PageSize: size}); len(res.GetItems()) != 1000 || res.GetNextPageToken() == "" {
			t.Errorf("page size %d: %d items", size, len(res.GetItems()))
		}
	}
	// Pages are in order and complete, and come to an end.
	for _, req := range []*ruedov1.ListDecoratorsRequest{{PageSize: 7}, {PageSize: 600}, {PageSize: 1000, Tag: "t1"}, {PageSize: 7, Tag: "t1"}} {
		want := 0
		for d, err := range c.Client.ListDecorators(t.Context(), req) {
			if err != nil {
				t.Fatal(err)
			}
			if req.Tag != "" && want%2 == 0 {
				want++
			}
			if d.GetName() != fmt.Sprintf("d%05d", want) {
				t.Fatalf("%v: %s, want number %d", req, d.GetName(), want)
			}
			want++
		}
		if want != 1200 {
			t.Errorf("%v ends before number %d", req, want)
		}
	}
	if res := list(&ruedov1.ListDecoratorsRequest{PageSize: 600, PageToken: list(&ruedov1.ListDecoratorsRequest{PageSize: 600}).GetNextPageToken()}); res.NextPageToken != nil || len(res.GetItems()) != 600 {
		t.Error("the last page is not the last")
	}

	// An answer is bounded in bytes.
	fill(t, c, 1200, strings.Repeat("x", 4000))
	testkit.Eventually(t, "all are large", func() bool {
		res := list(&ruedov1.ListDecoratorsRequest{})
		return proto.Size(res) > 900<<10 && proto.Size(res) <= 1<<20+8<<10
	})
}

func TestPageTokensAreChecked(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true})
	fill(t, c, 3, "")
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{Args: []string{"second"}})
	var good string
	testkit.Eventually(t, "there is a token", func() bool {
		res, err := c.Client.Decorators.ListDecorators(t.Context(), &ruedov1.ListDecoratorsRequest{PageSize: 1})
		good = res.GetNextPageToken()
		return err == nil && good != ""
	})
	revisions, err := c.Client.Services.ListRevisions(t.Context(), &ruedov1.ListRevisionsRequest{Name: "echo", PageSize: 1})
	if err != nil || len(revisions.GetItems()) != 1 || revisions.GetItems()[0].GetNumber() != 2 || revisions.GetNextPageToken() == "" {
		t.Fatalf("%v, %v", revisions, err)
	}
	for what, token := range map[string]string{
		"garbage":             "garbage!",
		"of another list":     revisions.GetNextPageToken(),
		"cut":                 good[:len(good)-8],
		"of another form":     base64.RawURLEncoding.EncodeToString([]byte("2 decorators \nd")),
		"too long":            strings.Repeat("a", 513),
		"of no item":          base64.RawURLEncoding.EncodeToString([]byte("1 decorators \n")),
		"bytes that are none": "\x00",
	} {
		if _, err := c.Client.Decorators.ListDecorators(t.Context(), &ruedov1.ListDecoratorsRequest{PageToken: token}); !errors.Is(err, fault.RequestInvalid) {
			t.Errorf("%s: %v, want REQUEST_INVALID", what, err)
		}
	}
	for what, req := range map[string]*ruedov1.ListRevisionsRequest{
		"of another service": {Name: "other", PageToken: revisions.GetNextPageToken()},
		"of number zero":     {Name: "echo", PageToken: base64.RawURLEncoding.EncodeToString([]byte("1 revisions echo\n0"))},
		"of no number":       {Name: "echo", PageToken: base64.RawURLEncoding.EncodeToString([]byte("1 revisions echo\nx"))},
		"a negative size":    {Name: "echo", PageSize: -1},
	} {
		if _, err := c.Client.Services.ListRevisions(t.Context(), req); !errors.Is(err, fault.RequestInvalid) {
			t.Errorf("%s: %v, want REQUEST_INVALID", what, err)
		}
	}
	if _, err := c.Client.Decorators.ListDecorators(t.Context(), &ruedov1.ListDecoratorsRequest{PageToken: good, Tag: "t1"}); !errors.Is(err, fault.RequestInvalid) {
		t.Errorf("another tag: %v, want REQUEST_INVALID", err)
	}
}
