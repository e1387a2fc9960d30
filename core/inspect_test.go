package core_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func health(t *testing.T, c *ruedotest.Cluster) *ruedov1.GetHealthResponse {
	t.Helper()
	res, err := c.Client.Inspect.GetHealth(t.Context(), &ruedov1.GetHealthRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// finds reports whether the health of a cluster has a check with a name, a level
// and a text.
func finds(t *testing.T, c *ruedotest.Cluster, level ruedov1.HealthLevel, name, says string) bool {
	t.Helper()
	for _, check := range health(t, c).GetChecks() {
		if check.GetName() == name && check.GetLevel() == level && strings.Contains(check.GetMessage(), says) {
			return true
		}
	}
	return false
}

const (
	healthy = ruedov1.HealthLevel_HEALTH_LEVEL_OK
	warned  = ruedov1.HealthLevel_HEALTH_LEVEL_WARNING
	broken  = ruedov1.HealthLevel_HEALTH_LEVEL_BAD
)

func register(t *testing.T, c *ruedotest.Cluster, key string, m proto.Message) {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Etcd.Client().Put(t.Context(), "/ruedo/test/"+key, string(b)); err != nil {
		t.Fatal(err)
	}
}

// Whichever core is asked, it says the same of all.
func TestTheHealthOfACluster(t *testing.T) {
	one, two, link := twoCores(t)
	for _, c := range []*ruedotest.Cluster{one, two} {
		var res *ruedov1.GetHealthResponse
		testkit.Eventually(t, "all is well", func() bool {
			res = health(t, c)
			measured := !slices.ContainsFunc(res.GetCores(), func(core *ruedov1.CoreHealth) bool { return core.GetStoreLatency().AsDuration() <= 0 })
			return res.GetLevel() == healthy && measured
		})
		if len(res.GetCores()) != 2 || len(res.GetRunners()) != 2 || res.GetLeader() == nil || res.GetClusterId() != "test" {
			t.Errorf("%v", res)
		}
		for _, core := range res.GetCores() {
			if core.GetReadyRunners() != 1 || core.GetError() != "" {
				t.Errorf("%v", core)
			}
		}
	}

	register(t, one, "cores/gone", &ruedov1.Core{Url: "http://127.0.0.1:1", Version: "test"})
	register(t, one, "cores/moved", &ruedov1.Core{Url: two.URL, Version: "old"})
	register(t, one, "runners/lost", &ruedov1.Runner{Version: "test"})
	testkit.Eventually(t, "what is wrong is found", func() bool {
		return finds(t, one, warned, "cores", "core gone at http://127.0.0.1:1 does not answer: ") &&
			finds(t, one, warned, "cores", "core "+two.Core.ID()+" answers at its URL") &&
			finds(t, one, warned, "cores", "have the same URL "+two.URL) &&
			finds(t, one, warned, "runners", "attached to no core: lost") &&
			finds(t, one, warned, "versions", "old: core moved")
	})

	release := link.hold()
	defer release()
	testkit.Eventually(t, "the core without a store is found, by both", func() bool {
		return finds(t, one, broken, "store", "has not answered core "+two.Core.ID()) && finds(t, two, broken, "store", "has not answered core "+two.Core.ID())
	})
	if health(t, one).GetLevel() != broken {
		t.Error("that is not bad")
	}
}

// What operators and the dispatcher keep calls from is a part of the health.
func TestTheHealthKnowsWhoGetsNoCalls(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	near := c.AddRunner(t, ruedotest.Labels("zone=a"))
	c.AddRunner(t, ruedotest.Labels("zone=b"))
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo", Placement: "zone=a"}, ruedotest.Echo())
	testkit.Eventually(t, "all is well", func() bool {
		return health(t, c).GetLevel() == healthy && finds(t, c, healthy, "placement", "each service has a runner") && finds(t, c, healthy, "cordons", "no runner")
	})

	cordoned := &ruedov1.CordonRunnerRequest{Runner: id(near), From: "ada@laptop", Reason: "new disk"}
	mustCordon(t, c, cordoned)
	if !finds(t, c, warned, "cordons", "1 runner cordoned without an end: "+id(near)+" by ada@laptop (new disk)") ||
		!finds(t, c, broken, "placement", "calls of 1 service fail, because no runner that takes calls meets the placement: echo (zone=a)") {
		t.Errorf("%v", health(t, c))
	}
	cordoned.Duration = durationpb.New(time.Hour)
	mustCordon(t, c, cordoned)
	res := health(t, c)
	if !finds(t, c, healthy, "cordons", "1 runner cordoned: "+id(near)+" by ada@laptop until ") || res.GetCores()[0].GetReadyRunners() != 1 ||
		res.GetCores()[0].GetUnplaced()[0].GetService() != "echo" {
		t.Errorf("%v", res)
	}
	for _, r := range res.GetRunners() {
		if (r.GetId() == id(near)) == (r.GetReady() || r.GetCordon() == nil) {
			t.Errorf("%v", r)
		}
	}

	if _, err := c.Client.Cordons.UncordonRunner(t.Context(), &ruedov1.UncordonRunnerRequest{Runner: id(near)}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "all is well again", func() bool { return health(t, c).GetLevel() == healthy })
}

// lateCore is a core whose clock is wrong.
type lateCore struct {
	ruedov1connect.UnimplementedInspectServiceHandler
	behind time.Duration
}

func (l lateCore) GetLocalHealth(context.Context, *ruedov1.GetLocalHealthRequest) (*ruedov1.GetLocalHealthResponse, error) {
	return &ruedov1.GetLocalHealthResponse{Core: &ruedov1.Core{Id: "late", Version: "test"}, Time: timestamppb.New(time.Now().Add(-l.behind))}, nil
}

func TestClocksThatDifferByMoreThanALease(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true})
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewInspectServiceHandler(lateCore{behind: 7 * time.Second}))
	late := httptest.NewServer(mux)
	t.Cleanup(late.Close)
	t.Cleanup(late.CloseClientConnections)
	register(t, c, "cores/late", &ruedov1.Core{Id: "late", Url: late.URL, Version: "test"})
	testkit.Eventually(t, "the wrong clock is found", func() bool {
		return finds(t, c, broken, "clocks", "ahead of that of core late, more than a lease (5s)")
	})
}
