package core_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

func activity(t *testing.T, c *ruedotest.Cluster, req *ruedov1.ListActivityRequest) *ruedov1.ListActivityResponse {
	t.Helper()
	res, err := c.Client.Inspect.ListActivity(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Each core lists what runs at all cores, on lanes and in its own process.
func TestWhatRunsNow(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	one := ruedotest.New(t, ruedotest.Options{Etcd: e, Runners: 1})
	two := ruedotest.New(t, ruedotest.Options{Etcd: e, Local: true})
	testkit.Eventually(t, "both have joined", func() bool { return len(coresAt(t, one)) == 2 && len(coresAt(t, two)) == 2 })
	long := &ruedov1.Decorator{Name: "long", Limits: &ruedov1.Limits{Timeout: durationpb.New(time.Hour)}}
	if _, err := one.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: long}); err != nil {
		t.Fatal(err)
	}
	one.Publish(t, &ruedov1.PublishServiceRequest{Name: "slow", Decorators: []string{"long"}}, wasmtest.Function(wasmtest.Forever()).Bytes())
	testkit.Eventually(t, "both know it", func() bool {
		_, err := two.Client.Services.GetService(t.Context(), &ruedov1.GetServiceRequest{Name: "slow"})
		return err == nil
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 3)
	began := time.Now()
	for _, c := range []*ruedotest.Cluster{one, one, two} {
		go func() {
			_, err := c.Client.Call(ctx, "slow", []byte("{}"))
			ended <- err
		}()
	}
	for _, c := range []*ruedotest.Cluster{one, two} {
		var res *ruedov1.ListActivityResponse
		testkit.Eventually(t, "three calls run", func() bool {
			res = activity(t, c, &ruedov1.ListActivityRequest{})
			return len(res.GetItems()) == 3 && res.GetTotal() == 3 && len(res.GetSilentCores()) == 0
		})
		byCore := map[string]int{}
		for _, call := range res.GetItems() {
			byCore[call.GetCore()]++
			if call.GetService() != "slow" || call.GetRevision() != 1 || call.GetRunner() == "" || call.GetCaller() == "" || len(call.GetCallId()) != 26 ||
				call.GetDuration().AsDuration() > time.Since(began)+time.Second || call.GetStartTime().AsTime().Before(began.Add(-time.Second)) {
				t.Errorf("%v", call)
			}
		}
		if byCore[one.Core.ID()] != 2 || byCore[two.Core.ID()] != 1 {
			t.Errorf("%v", res)
		}
	}
	for want, req := range map[int]*ruedov1.ListActivityRequest{
		0: {Service: "other"},
		1: {Core: two.Core.ID()},
		2: {Runner: one.Runners[0].Info().GetId()},
		3: {Service: "slow"},
	} {
		testkit.Eventually(t, fmt.Sprintf("%d calls of %v", want, req), func() bool {
			res := activity(t, two, req)
			return len(res.GetItems()) == want && res.GetTotal() == 3
		})
	}
	_, err := one.Client.Inspect.ListActivity(t.Context(), &ruedov1.ListActivityRequest{Core: "nobody"})
	wantReason(t, err, fault.CoreNotFound, `there is no core "nobody"`)
	_, err = one.Client.Inspect.ListActivity(t.Context(), &ruedov1.ListActivityRequest{Runner: "nobody"})
	wantReason(t, err, fault.RunnerNotFound, `there is no runner "nobody"`)

	stop()
	for range 3 {
		if err := <-ended; !errors.Is(err, fault.Canceled) {
			t.Errorf("%v", err)
		}
	}
	register(t, one, "cores/gone", &ruedov1.Core{Url: "http://127.0.0.1:1"})
	testkit.Eventually(t, "nothing runs, and one core does not say", func() bool {
		res := activity(t, one, &ruedov1.ListActivityRequest{})
		return res.GetTotal() == 0 && len(res.GetItems()) == 0 && len(res.GetSilentCores()) == 1 && res.GetSilentCores()[0].GetCore().GetId() == "gone"
	})
}
