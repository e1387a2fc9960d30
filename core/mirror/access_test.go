package mirror

import (
	"math"
	"testing"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// A user, role or token that cannot be read is not there, whatever it was before; and
// then nobody has logged in, where logins are needed.
func TestWhatCannotBeReadMayDoNothing(t *testing.T) {
	client := etcdtest.Start(t, etcdembed.Config{}).Client()
	s := open(t, store.Config{Client: client})
	p := principals.New(principals.Config{Cluster: s.Cluster(), Guard: s.Guard(), Missing: s.Missing})
	ctx := storetest.Context(t)
	if _, err := p.EnsureAccess(ctx, true, nil); err != nil {
		t.Fatal(err)
	}
	version, err := p.Write(ctx, principals.Batch{
		Change: chain.Change{Action: "create", Noun: "user", Name: "ada"},
		If: []principals.Seen{
			{Kind: keys.KindUser, Name: "ada"}, {Kind: keys.KindRole, Name: "ops"}, {Kind: keys.KindToken, Name: "t"},
		},
		Users:  []*storev1.User{{User: &ruedov1.User{Name: "ada"}}},
		Roles:  []*storev1.Role{{Role: &ruedov1.Role{Name: "ops"}}},
		Tokens: []*storev1.Token{{Token: &ruedov1.Token{Id: "t", User: "ada"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := mirror(t, s)
	if err := m.Wait(ctx, version); err != nil {
		t.Fatal(err)
	}
	now := m.Snapshot()
	if now.Users["ada"].GetUser().GetVersion() != version || now.Roles["ops"].GetRole().GetName() != "ops" || now.Tokens["t"].GetVersion() != version || !now.Access().GetLogin() || now.Access().GetEpoch() != 0 {
		t.Fatalf("%v, %v, %v, %v", now.Users, now.Roles, now.Tokens, now.Access())
	}
	for _, path := range []string{"users/ada", "roles/ops", "tokens/t", "access/cluster"} {
		put, err := client.Put(ctx, "/ruedo/main/"+path, "\xff")
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Wait(ctx, put.Header.Revision); err != nil {
			t.Fatal(err)
		}
	}
	later := mirror(t, s) // listed, not watched
	for what, now := range map[string]*Snapshot{"watched": m.Snapshot(), "listed": later.Snapshot()} {
		if len(now.Users) != 0 || len(now.Roles) != 0 || len(now.Tokens) != 0 {
			t.Errorf("%s: %v, %v, %v", what, now.Users, now.Roles, now.Tokens)
		}
		if a := now.Access(); !a.GetLogin() || a.GetEpoch() != math.MaxUint64 {
			t.Errorf("%s: %v", what, a)
		}
	}
	testkit.WantReason(t, alarm(m, fault.Integrity), fault.Integrity, "4 values", "access cluster", "user ada")

	// Listed again by a mirror that has seen them before, they stay away.
	held := m.Snapshot()
	m.listAgain(errRelist)
	testkit.Eventually(t, "it was listed again", func() bool { return m.Snapshot() != held })
	if now := m.Snapshot(); len(now.Users) != 0 || now.Access().GetEpoch() != math.MaxUint64 {
		t.Errorf("%v, %v", now.Users, now.Access())
	}
}
