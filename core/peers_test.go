package core_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// coresAt lists the cores as one of them sees them, by id.
func coresAt(t *testing.T, c *ruedotest.Cluster) map[string]*ruedov1.Core {
	t.Helper()
	list, err := client.All(c.Client.ListCores(t.Context(), &ruedov1.ListCoresRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	cores := map[string]*ruedov1.Core{}
	for _, core := range list {
		cores[core.GetId()] = core
	}
	return cores
}

// Each core says of the others what they say of themselves.
func TestHowTheCoresAre(t *testing.T) {
	one, two, _ := twoCores(t)
	testkit.Eventually(t, "both are listed by both", func() bool { return len(coresAt(t, one)) == 2 && len(coresAt(t, two)) == 2 })
	publishEcho(t, one, &ruedov1.PublishServiceRequest{})
	testkit.Eventually(t, "the calls of one are seen at the other", func() bool {
		calls(t, one, "echo")
		cores := coresAt(t, two)
		return cores[one.Core.ID()].GetCallsPerSecond() > 0 && cores[two.Core.ID()].GetCallsPerSecond() == 0
	})
	testkit.Eventually(t, "both answer, and are not behind", func() bool {
		for _, core := range coresAt(t, two) {
			if core.GetState() != ruedov1.CoreState_CORE_STATE_READY || core.GetLag() == nil || core.GetLag().AsDuration() > time.Second || core.GetVersion() != "test" {
				return false
			}
		}
		return true
	})

	// One that is gone, and one whose address another one has by now.
	for id, url := range map[string]string{"gone": "http://127.0.0.1:1", "moved": two.URL, "odd": "://"} {
		b, err := proto.Marshal(&ruedov1.Core{Url: url, Version: "old"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := one.Etcd.Client().Put(t.Context(), "/ruedo/test/cores/"+id, string(b)); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, "all are listed, with those that answer", func() bool {
		cores := coresAt(t, one)
		for _, id := range []string{"gone", "moved", "odd"} {
			if core := cores[id]; core.GetState() != ruedov1.CoreState_CORE_STATE_UNREACHABLE || core.GetLag() != nil || core.GetVersion() != "old" {
				return false
			}
		}
		return cores[two.Core.ID()].GetState() == ruedov1.CoreState_CORE_STATE_READY
	})
}

// A core whose store does not answer says so, and for how long.
func TestACoreWithoutItsStoreIsStale(t *testing.T) {
	_, two, link := twoCores(t)
	release := link.hold()
	defer release()
	testkit.Eventually(t, "it says that it is stale", func() bool {
		status, err := two.Client.Cluster.GetStatus(t.Context(), &ruedov1.GetStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		core := status.GetCore()
		return core.GetState() == ruedov1.CoreState_CORE_STATE_STALE && core.GetLag().AsDuration() >= 3*time.Second
	})
	release()
	testkit.Eventually(t, "it is ready again", func() bool {
		status, err := two.Client.Cluster.GetStatus(t.Context(), &ruedov1.GetStatusRequest{})
		return err == nil && status.GetCore().GetState() == ruedov1.CoreState_CORE_STATE_READY && status.GetCore().GetLag().AsDuration() == 0
	})
}
