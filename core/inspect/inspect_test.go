package inspect

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/peers"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// broken lists no members, because of a bug.
type broken struct{}

func (broken) List(context.Context) ([]*ruedov1.Member, string, error) { panic("a bug in the list") }

// idle is a mirror of a store that is well.
type idle struct{ *coretest.Mirror }

func (idle) Alarms() []*fault.Error      { return nil }
func (idle) StoreLatency() time.Duration { return 0 }

// A bug in what runs next to a request fails that request, which recovers it, and
// does not end the core.
func TestABugIsThatOfTheRequest(t *testing.T) {
	p := peers.New(peers.Config{Cluster: "main", Self: "a"})
	defer p.Close()
	i := New(Config{Mirror: idle{coretest.NewMirror()}, Members: broken{}, Peers: p})
	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, "a bug in the list") || !strings.Contains(said, "broken.List") {
			t.Errorf("it says %q, without what happened and where", said)
		}
	}()
	_, _ = i.GetHealth(coretest.Context(t), &ruedov1.GetHealthRequest{})
	t.Error("it has not failed")
}
