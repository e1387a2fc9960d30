package members

import (
	"context"
	"testing"

	"github.com/ruedo-dev/ruedo/core/peers"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// keeper is a member that adds whoever asks.
type keeper struct {
	Keeper
	added int
}

func (*keeper) Name() string { return "own" }

func (k *keeper) Add(context.Context, string, string, bool) (*ruedov1.Member, error) {
	k.added++
	return &ruedov1.Member{Id: "2"}, nil
}

func (*keeper) List(context.Context) ([]*ruedov1.Member, string, error) {
	return []*ruedov1.Member{{Id: "1"}, {Id: "2"}}, "abc", nil
}

func (*keeper) Local(context.Context) (*ruedov1.Member, error) {
	return &ruedov1.Member{Id: "1", Status: &ruedov1.MemberStatus{AppliedIndex: 7}}, nil
}

func TestWithoutAnEmbeddedStore(t *testing.T) {
	m := New(Config{})
	_, _, err := m.List(t.Context())
	testkit.WantReason(t, err, fault.StoreExternal, "an etcd of its own", "etcdctl")
	_, err = m.Add(t.Context(), &ruedov1.AddMemberRequest{})
	testkit.WantReason(t, err, fault.StoreExternal)
	_, _, err = m.Compact(t.Context())
	testkit.WantReason(t, err, fault.StoreExternal)
}

func TestAnotherStorageFormatIsRefused(t *testing.T) {
	k := &keeper{}
	m := New(Config{Keeper: k})
	for format, age := range map[uint32]string{fleet.Format + 1: "newer", fleet.Format - 1: "older"} {
		if format == 0 {
			continue // an older core does not say which it has
		}
		_, err := m.Add(t.Context(), &ruedov1.AddMemberRequest{PeerUrl: "http://127.0.0.1:1", Format: format})
		testkit.WantReason(t, err, fault.StoreFormat, "cannot join", age)
	}
	if k.added != 0 {
		t.Errorf("%d members were added", k.added)
	}
	res, err := m.Add(t.Context(), &ruedov1.AddMemberRequest{PeerUrl: "http://127.0.0.1:1", Format: fleet.Format})
	if err != nil || res.GetMember().GetId() != "2" || len(res.GetMembers()) != 2 || res.GetStoreId() != "abc" {
		t.Errorf("%v, %v", res, err)
	}
}

// A core that was killed stays listed until its lease ends; the one that took its
// URL must not be asked twice.
func TestAURLIsAskedOnce(t *testing.T) {
	self := &ruedov1.Core{Id: "c1", Url: "http://127.0.0.1:1", StoreMember: "own"}
	others := peers.New(peers.Config{Cluster: "main", Self: "c1"})
	defer others.Close()
	m := New(Config{Keeper: &keeper{}, Self: self, Peers: others, Cores: func() map[string]*ruedov1.Core {
		return map[string]*ruedov1.Core{
			"c1":    self,
			"old":   {Id: "old", Url: "http://127.0.0.1:1", StoreMember: "own"},
			"c2":    {Id: "c2", Url: "http://127.0.0.1:2", StoreMember: "two"},
			"c2old": {Id: "c2old", Url: "http://127.0.0.1:2", StoreMember: "two"},
			"etcd":  {Id: "etcd", Url: "http://127.0.0.1:3"},
		}
	}})
	if got := m.others(); len(got) != 1 || got[0].GetUrl() != "http://127.0.0.1:2" {
		t.Errorf("asks %v", got)
	}
	items, _, err := m.List(t.Context())
	if err != nil || len(items) != 2 || items[0].GetCoreId() != "c1" || items[1].GetStatus() != nil {
		t.Errorf("%v, %v", items, err)
	}
}
