package principals_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a cluster with direct access to its etcd.
type site struct {
	*principals.Principals
	store *store.Store
	etcd  *clientv3.Client
}

func open(t *testing.T, etcd *clientv3.Client, cluster string) *site {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Client: etcd, Cluster: cluster, OpTimeout: testkit.Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &site{principals.New(principals.Config{Cluster: s.Cluster(), Guard: s.Guard(), Missing: s.Missing}), s, etcd}
}

func fresh(t *testing.T) *site {
	t.Helper()
	return open(t, etcdtest.Start(t, etcdembed.Config{}).Client(), "main")
}

// actions returns what the audit says was done, in the order of one chain.
func (s *site) actions(t *testing.T) string {
	t.Helper()
	got, err := s.etcd.Get(t.Context(), s.store.Cluster().Space().Audit(), clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, kv := range got.Kvs {
		r, err := chain.Decode(kv)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r.GetAction()+" "+r.GetNoun()+" "+r.GetName())
	}
	return strings.Join(all, ", ")
}

func user(name string) *storev1.User {
	return &storev1.User{User: &ruedov1.User{Name: name}, Epoch: 1, Password: "$argon2id$..."}
}

func newUser(name string) principals.Batch {
	return principals.Batch{
		Change: chain.Change{Action: "create", Noun: "user", Name: name},
		If:     []principals.Seen{{Kind: keys.KindUser, Name: name}},
		Users:  []*storev1.User{user(name)},
	}
}

func token(id, user string) *storev1.Token {
	return &storev1.Token{Token: &ruedov1.Token{Id: id, User: user}, Hash: []byte("hash of " + id)}
}

func TestUsers(t *testing.T) {
	s := fresh(t)
	ctx := storetest.Context(t)
	version, err := s.Write(ctx, newUser("ada"))
	if err != nil {
		t.Fatal(err)
	}
	ada, err := s.User(ctx, "ada")
	if err != nil || ada.GetUser().GetVersion() != version || ada.GetPassword() == "" {
		t.Fatalf("%v, %v", ada, err)
	}
	if _, err := s.Write(ctx, newUser("ada")); !errors.Is(err, fault.Conflict) {
		t.Errorf("a name that is taken: %v", err)
	}
	_, err = s.User(ctx, "bob")
	testkit.WantReason(t, err, fault.UserNotFound, `there is no user "bob"`)

	ada.Epoch++
	change := principals.Batch{
		Change: chain.Change{Action: "update", Noun: "user", Name: "ada", Before: version},
		If:     []principals.Seen{{Kind: keys.KindUser, Name: "ada", Version: version}},
		Users:  []*storev1.User{ada},
	}
	if _, err := s.Write(ctx, change); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(ctx, change); !errors.Is(err, fault.Conflict) {
		t.Errorf("a version that is old: %v", err)
	}
	if _, err := s.Write(t.Context(), newUser("eve")); !errors.Is(err, fault.Internal) {
		t.Errorf("nobody creates a user: %v", err)
	}
	large := newUser("large")
	large.Users[0].User.Description = strings.Repeat("x", 70<<10)
	_, err = s.Write(ctx, large)
	testkit.WantReason(t, err, fault.RequestInvalid, "over the limit of 65536")
	if got := s.actions(t); got != "create user ada, update user ada" {
		t.Error(got)
	}
}

// A user goes together with all that is the user's, or not at all.
func TestABatchIsOneTransaction(t *testing.T) {
	s := fresh(t)
	ctx := storetest.Context(t)
	b := newUser("ada")
	for i := range 20 {
		id := fmt.Sprintf("token%05d", i)
		b.If = append(b.If, principals.Seen{Kind: keys.KindToken, Name: id})
		b.Tokens = append(b.Tokens, token(id, "ada"))
	}
	version, err := s.Write(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	gone := principals.Batch{
		Change: chain.Change{Action: "delete", Noun: "user", Name: "ada"},
		If:     []principals.Seen{{Kind: keys.KindUser, Name: "ada", Version: version}, {Kind: keys.KindToken, Name: "token00003", Version: version - 1}},
		Delete: []principals.Seen{{Kind: keys.KindUser, Name: "ada"}},
	}
	for _, tok := range b.Tokens {
		gone.Delete = append(gone.Delete, principals.Seen{Kind: keys.KindToken, Name: tok.GetToken().GetId()})
	}
	if _, err := s.Write(ctx, gone); !errors.Is(err, fault.Conflict) {
		t.Fatalf("one of them has changed: %v", err)
	}
	if tok, err := s.Token(ctx, "token00019"); err != nil || tok.GetVersion() != version || tok.GetToken().GetUser() != "ada" {
		t.Fatalf("%v, %v", tok, err)
	}
	gone.If = gone.If[:1]
	if _, err := s.Write(ctx, gone); err != nil {
		t.Fatal(err)
	}
	left, err := s.etcd.Get(ctx, "/ruedo/main/tokens/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || left.Count != 0 {
		t.Errorf("%d tokens are left, %v", left.Count, err)
	}
	for range principals.MaxBatch {
		gone.Delete = append(gone.Delete, principals.Seen{Kind: keys.KindToken, Name: "x"})
	}
	_, err = s.Write(ctx, gone)
	testkit.WantReason(t, err, fault.RequestInvalid, "the limit is 120")
}

// An invite is used once, whoever comes at the same time, and what it is for happens
// with it. It goes when its time is over.
func TestALinkIsUsedOnce(t *testing.T) {
	s := fresh(t)
	ctx := storetest.Context(t)
	b := newUser("ada")
	b.If = append(b.If, principals.Seen{Kind: keys.KindLink, Name: "invite"})
	b.Links = map[string]*storev1.Link{"invite": {Use: storev1.Link_USE_INVITE, User: "ada", UsesLeft: 1, ExpireTime: timestamppb.New(time.Now().Add(time.Hour))}}
	if _, err := s.Write(ctx, b); err != nil {
		t.Fatal(err)
	}
	stored, err := s.etcd.Get(ctx, "/ruedo/main/links/invite")
	if err != nil || len(stored.Kvs) != 1 || stored.Kvs[0].Lease == 0 {
		t.Fatalf("%v, %v", stored, err)
	}
	lease := stored.Kvs[0].Lease
	if ttl, err := s.etcd.TimeToLive(ctx, clientv3.LeaseID(lease)); err != nil || ttl.TTL < 3500 || ttl.TTL > 3600 {
		t.Errorf("it stays for %d s, %v", ttl.TTL, err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	used := 0
	for i := range 8 {
		wg.Go(func() {
			link, err := s.Link(ctx, "invite")
			if err != nil || link.GetUsesLeft() == 0 {
				return // too late
			}
			ada, err := s.User(ctx, "ada")
			if err != nil {
				t.Error(err)
				return
			}
			link.UsesLeft--
			ada.Password = fmt.Sprint("password ", i)
			_, err = s.Write(ctx, principals.Batch{
				Change: chain.Change{Action: "accept", Noun: "user", Name: "ada"},
				If:     []principals.Seen{{Kind: keys.KindLink, Name: "invite", Version: link.GetVersion()}, {Kind: keys.KindUser, Name: "ada", Version: ada.GetUser().GetVersion()}},
				Users:  []*storev1.User{ada},
				Links:  map[string]*storev1.Link{"invite": link},
			})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				used++
			case !errors.Is(err, fault.Conflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if used != 1 {
		t.Errorf("the invite was used %d times", used)
	}
	if got := s.actions(t); got != "create user ada, accept user ada" {
		t.Error(got)
	}
	// Used up, it stays until its time is over, so that it is known as used.
	if stored, err = s.etcd.Get(ctx, "/ruedo/main/links/invite"); err != nil || len(stored.Kvs) != 1 || stored.Kvs[0].Lease != lease {
		t.Errorf("%v, %v", stored, err)
	}
	if link, err := s.Link(ctx, "none"); link != nil || err != nil {
		t.Errorf("%v, %v", link, err)
	}
}

func TestThereAreNotTooMany(t *testing.T) {
	s := fresh(t)
	ctx := storetest.Context(t)
	for from := 0; from < principals.MaxRoles; from += 100 {
		var puts []clientv3.Op
		for i := range 100 {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("/ruedo/main/roles/r%d", from+i), ""))
		}
		if _, err := s.etcd.Txn(ctx).Then(puts...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	role := principals.Batch{
		Change: chain.Change{Action: "create", Noun: "role", Name: "ops"},
		If:     []principals.Seen{{Kind: keys.KindRole, Name: "ops"}},
		Roles:  []*storev1.Role{{Role: &ruedov1.Role{Name: "ops"}}},
	}
	_, err := s.Write(ctx, role)
	testkit.WantReason(t, err, fault.PrincipalLimit, "the cluster has 1000 roles, the limit is 1000", "delete roles")
	if _, err := s.Write(ctx, newUser("ada")); err != nil {
		t.Error(err)
	}
}

func TestTheLeaderDeletesWhatHasExpired(t *testing.T) {
	s := fresh(t)
	ctx := storetest.Context(t)
	b := newUser("ada")
	b.If = append(b.If, principals.Seen{Kind: keys.KindToken, Name: "old"})
	b.Tokens = []*storev1.Token{token("old", "ada")}
	version, err := s.Write(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expire(ctx, fleet.Fence{}, []principals.Seen{{Kind: keys.KindToken, Name: "old", Version: version}}); !errors.Is(err, fault.LeadershipLost) {
		t.Errorf("without a leadership: %v", err)
	}
	led, err := s.store.Cluster().Campaign(ctx, &ruedov1.Leader{Core: "c"}, 0)
	if err != nil || led == nil {
		t.Fatal(err)
	}
	defer func() { _ = led.Resign(context.WithoutCancel(ctx)) }()
	if done, err := s.Expire(ctx, led.Fence(), []principals.Seen{{Kind: keys.KindToken, Name: "old", Version: version - 1}}); done || err != nil {
		t.Errorf("one that has changed: %t, %v", done, err)
	}
	if done, err := s.Expire(ctx, led.Fence(), []principals.Seen{{Kind: keys.KindToken, Name: "old", Version: version}}); !done || err != nil {
		t.Errorf("%t, %v", done, err)
	}
	if tok, err := s.Token(ctx, "old"); tok != nil || err != nil {
		t.Errorf("%v, %v", tok, err)
	}
}

func first(context.Context) (principals.First, error) {
	return principals.First{Keyring: &storev1.Keyring{File: []byte("age")}, Authority: &storev1.Authority{Certificate: []byte("der")}}, nil
}

func never(context.Context) (principals.First, error) { return principals.First{}, errors.New("asked") }

// The first core of a store that is new decides whether callers have to log in.
func TestTheFirstCoreDecides(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{}).Client()
	ctx := storetest.Context(t)

	on := open(t, etcd, "on")
	a, err := on.EnsureAccess(ctx, true, first)
	if err != nil || !a.GetLogin() {
		t.Fatalf("%v, %v", a, err)
	}
	if again, err := on.EnsureAccess(ctx, true, never); err != nil || again.GetVersion() != a.GetVersion() {
		t.Errorf("the next core: %v, %v", again, err)
	}
	_, err = on.EnsureAccess(ctx, false, never)
	testkit.WantReason(t, err, fault.ClusterMismatch, "callers of cluster on have to log in", "auth.mode on")
	if k, version, err := on.Keyring(ctx); err != nil || version != a.GetVersion() || string(k.GetFile()) != "age" {
		t.Errorf("%v, %d, %v", k, version, err)
	}
	if all, err := on.Authorities(ctx); err != nil || string(all["1"].GetCertificate()) != "der" {
		t.Errorf("%v, %v", all, err)
	}
	if got := on.actions(t); got != "found cluster on" {
		t.Error(got)
	}

	off := open(t, etcd, "off")
	if a, err := off.EnsureAccess(ctx, false, never); a != nil || err != nil {
		t.Errorf("%v, %v", a, err)
	}
	if _, err := off.store.CreateDecorator(ctx, &ruedov1.Decorator{Name: "small"}); err != nil {
		t.Fatal(err)
	}
	_, err = off.EnsureAccess(ctx, true, first)
	testkit.WantReason(t, err, fault.ClusterMismatch, "nobody has to log in to cluster off", "auth.mode off")
	for range 2 {
		if a, err := off.RequireLogin(ctx, first); err != nil || !a.GetLogin() {
			t.Errorf("%v, %v", a, err)
		}
	}
	if a, err := off.EnsureAccess(ctx, true, never); err != nil || !a.GetLogin() {
		t.Errorf("%v, %v", a, err)
	}
	if got := off.actions(t); got != "create decorator small, require-login cluster off" {
		t.Error(got)
	}
	// What cannot be read is not what nobody has said.
	if _, err := etcd.Put(ctx, "/ruedo/off/access/cluster", "\xff"); err != nil {
		t.Fatal(err)
	}
	for _, login := range []bool{false, true} {
		if _, err := off.EnsureAccess(ctx, login, never); !errors.Is(err, fault.Integrity) {
			t.Errorf("%v", err)
		}
	}
}

func TestOfManyFirstCoresOneIs(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{}).Client()
	var wg sync.WaitGroup
	s := open(t, etcd, "main")
	for range 8 {
		other := open(t, etcd, "main")
		wg.Go(func() {
			if a, err := other.EnsureAccess(storetest.Context(t), true, first); err != nil || !a.GetLogin() {
				t.Error(a, err)
			}
		})
	}
	wg.Wait()
	if got := s.actions(t); got != "found cluster main" {
		t.Error(got)
	}
}
