package auth_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/auth"
	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/mirror"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// world is a cluster as far as auth sees it.
type world struct {
	t testing.TB
	*coretest.Mirror
	*auth.Auth
	age    time.Duration
	denied []string
}

func (w *world) Age() time.Duration { return w.age }

// newWorld returns a cluster with login, and without users.
func newWorld(t testing.TB) *world {
	w := newWorldWithoutLogin(t)
	w.setAccess(&storev1.Access{Login: true})
	return w
}

func newWorldWithoutLogin(t testing.TB) *world {
	w := &world{t: t, Mirror: coretest.NewMirror()}
	w.Auth = auth.New(auth.Config{
		Mirror: w, Cluster: "main", Key: func() []byte { return []byte("key") },
		Missing: func(_ context.Context, noun access.Noun, name string) error {
			return fault.New(fault.NotFound, "there is no %s %q", access.NounWord(noun), name)
		},
		Denied: func(ctx context.Context, action, noun, name string, reason fault.Reason) {
			w.denied = append(w.denied, strings.Join([]string{access.Of(ctx).Name, action, noun, name, string(reason)}, " "))
		},
	})
	t.Cleanup(w.Auth.Close)
	return w
}

func (w *world) setAccess(a *storev1.Access) {
	w.Change(func(s *mirror.Snapshot) { s.Accesses = map[string]*storev1.Access{keys.TheAccess: a} })
}

func (w *world) user(name string, grants ...string) *storev1.User {
	u := &storev1.User{User: &ruedov1.User{Name: name, Grants: grants}}
	w.setUser(u)
	return u
}

func (w *world) setUser(u *storev1.User) {
	w.Change(func(s *mirror.Snapshot) { s.Users = with(s.Users, u.GetUser().GetName(), u) })
}

func (w *world) role(name string, grants ...string) {
	w.Change(func(s *mirror.Snapshot) {
		s.Roles = with(s.Roles, name, &storev1.Role{Role: &ruedov1.Role{Name: name, Grants: grants}})
	})
}

// token returns the text of a new token of a user.
func (w *world) token(user string, change ...func(*storev1.Token)) string {
	t := token.New(token.Bearer)
	hash := t.Hash()
	stored := &storev1.Token{
		Token: &ruedov1.Token{Id: t.ID(), User: user, ExpireTime: timestamppb.New(time.Now().Add(time.Hour))}, Hash: hash[:],
	}
	for _, c := range change {
		c(stored)
	}
	w.setToken(stored)
	return t.Reveal()
}

func (w *world) setToken(t *storev1.Token) {
	w.Change(func(s *mirror.Snapshot) { s.Tokens = with(s.Tokens, t.GetToken().GetId(), t) })
}

func with[V any](m map[string]V, name string, v V) map[string]V {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]V{}
	}
	m[name] = v
	return m
}

// showing returns a request that shows something.
func showing(values ...string) *http.Request {
	r := httptest.NewRequest("POST", "/", nil)
	r.Header["Authorization"] = values
	if len(values) == 0 {
		delete(r.Header, "Authorization")
	}
	return r
}

// of returns who a request with a token is of.
func (w *world) of(text string) *access.Principal {
	w.t.Helper()
	p, err := w.Identify(showing("Bearer "+text), access.ViaTLS, "10.0.0.1")
	if err != nil {
		w.t.Fatalf("the token is not good: %v", err)
	}
	return p
}

func idOf(text string) string { return strings.Split(text, "_")[2] }

// Whatever is wrong with what a request shows, the answer is the same.
func TestOneAnswerForAllThatIsNotGood(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "call service *")
	disabled := &storev1.User{User: &ruedov1.User{Name: "bob", Disabled: true}}
	w.setUser(disabled)
	w.setUser(&storev1.User{User: &ruedov1.User{Name: "eve"}, Epoch: 2})
	w.user(access.Anonymous, "call service public")
	past := timestamppb.New(time.Now().Add(-time.Second))
	good := w.token("ada")
	if p := w.of(good); p.Name != "user/ada" || p.Token != idOf(good) || !p.Allows(access.Call, access.Service, "greet") || p.Allows(access.Read, access.Service, "greet") {
		t.Errorf("%+v", p)
	}
	other := token.New(token.Bearer).Reveal()
	revoked := w.token("ada")
	w.Change(func(s *mirror.Snapshot) {
		s.Tokens = maps.Clone(s.Tokens)
		delete(s.Tokens, idOf(revoked))
	})
	want := access.Unauthenticated()
	for what, shown := range map[string][]string{
		"nothing":               {""},
		"garbage":               {"Bearer garbage"},
		"another scheme":        {"Basic YWRhOnB3"},
		"without a scheme":      {good},
		"cut off":               {"Bearer " + good[:len(good)-1]},
		"mistyped":              {"Bearer " + strings.Replace(good, "_t_", "_t_a", 1)[:len(good)]},
		"of another kind":       {"Bearer " + token.New(token.Invite).Reveal()},
		"of another cluster":    {"Bearer " + other},
		"another secret":        {"Bearer " + reSecret(t, good)},
		"two":                   {"Bearer " + good, "Bearer " + good},
		"revoked":               {"Bearer " + revoked},
		"expired":               {"Bearer " + w.token("ada", func(t *storev1.Token) { t.Token.ExpireTime = past })},
		"without an end":        {"Bearer " + w.token("ada", func(t *storev1.Token) { t.Token.ExpireTime = nil })},
		"of a disabled user":    {"Bearer " + w.token("bob")},
		"of nobody":             {"Bearer " + w.token("zoe")},
		"of anonymous":          {"Bearer " + w.token(access.Anonymous)},
		"of an older epoch":     {"Bearer " + w.token("eve", func(t *storev1.Token) { t.Epoch = 1 })},
		"of a newer epoch":      {"Bearer " + w.token("eve", func(t *storev1.Token) { t.Epoch = 3 })},
		"of an older cluster":   {"Bearer " + w.token("ada", func(t *storev1.Token) { t.ClusterEpoch = 1 })},
		"with a broken hash":    {"Bearer " + w.token("ada", func(t *storev1.Token) { t.Hash = t.Hash[:31] })},
		"a core's, another key": {"Bearer " + token.SignCore([]byte("other"), "core-1", time.Now())},
		"a core's, expired":     {"Bearer " + token.SignCore([]byte("key"), "core-1", time.Now().Add(-time.Hour))},
	} {
		p, err := w.Identify(showing(shown...), access.ViaTLS, what) // each from an address of its own
		if err == nil {
			t.Errorf("%s: it is of %s", what, p.Name)
		} else if err.Reason != want.Reason || err.Error() != want.Error() || err.Fix != want.Fix || err.Err != nil || len(err.Meta) != 0 {
			t.Errorf("%s: %+v", what, err)
		}
	}
	if len(w.denied) != 22 || !strings.HasPrefix(w.denied[0], "anonymous authenticate") {
		t.Errorf("told of %d: %q", len(w.denied), w.denied)
	}
}

// reSecret returns a token with the id of another one.
func reSecret(t *testing.T, text string) string {
	again, err := token.Renew(token.Bearer, idOf(text))
	if err != nil {
		t.Fatal(err)
	}
	return again.Reveal()
}

func TestWaysThatNeedNoToken(t *testing.T) {
	w := newWorld(t)
	for _, via := range []string{access.ViaSocket, access.ViaMemory} {
		p, err := w.Identify(showing("Bearer garbage"), via, "")
		if err != nil || !strings.HasPrefix(p.Name, "local/") || p.Assumed || !p.Holds(access.Everything) {
			t.Errorf("%s: %+v, %v", via, p, err)
		}
	}
	p, err := w.Identify(showing("bearer "+token.SignCore([]byte("key"), "core-2", time.Now())), access.ViaTLS, "10.0.0.2")
	if err != nil || p.Name != "core/core-2" || !p.Allows(access.Read, access.Service, "x") || p.Allows(access.Call, access.Service, "x") || p.Allows(access.Write, access.Service, "x") {
		t.Errorf("a core: %+v, %v", p, err)
	}
	p, err = w.Identify(showing(), access.ViaTLS, "10.0.0.2")
	if err != nil || p.Name != access.Anonymous || len(p.Grants) != 0 {
		t.Errorf("nobody: %+v, %v", p, err)
	}
}

// Only what is about calls counts of what anonymous is granted.
func TestAnonymous(t *testing.T) {
	w := newWorld(t)
	w.role("shop", "call service shop", "read service shop")
	w.setUser(&storev1.User{User: &ruedov1.User{Name: access.Anonymous, Roles: []string{"shop"}, Grants: []string{"* service public-*", "write user *", "read * *"}}})
	anonymous := func() *access.Principal {
		p, err := w.Identify(showing(), access.ViaTCP, "10.0.0.2")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := anonymous()
	for name, want := range map[string]bool{"shop": true, "public-x": true, "private": false} {
		if got := p.Allows(access.Call, access.Service, name); got != want {
			t.Errorf("call %s: %t", name, got)
		}
		if p.Allows(access.Read, access.Service, name) || p.Allows(access.Write, access.Service, name) {
			t.Errorf("more than call: %s", name)
		}
	}
	if p.Allows(access.Write, access.User, "x") || p.Allows(access.Read, access.Cluster, "main") {
		t.Error("anonymous may do more than call services")
	}
	w.setUser(&storev1.User{User: &ruedov1.User{Name: access.Anonymous, Disabled: true, Grants: []string{"call service *"}}})
	if p := anonymous(); p.Allows(access.Call, access.Service, "shop") {
		t.Error("it is disabled, and may call")
	}
}

// Both secrets of a token are good until the grace ends, and when the old one was
// used last is known.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "call service *")
	was := w.token("ada")
	rotate := func(grace time.Duration) string {
		old := w.Snapshot().Tokens[idOf(was)]
		next, err := token.Renew(token.Bearer, idOf(was))
		if err != nil {
			t.Fatal(err)
		}
		hash, stored := next.Hash(), proto.CloneOf(old)
		stored.PreviousHash, stored.Hash = old.GetHash(), hash[:]
		stored.Token.PreviousUntil = timestamppb.New(time.Now().Add(grace))
		w.setToken(stored)
		return next.Reveal()
	}
	before := w.of(was)
	now := rotate(time.Hour)
	if _, ok := w.PreviousUsed(idOf(was)); ok {
		t.Error("the old secret was not used since the rotation")
	}
	if w.of(now) == before {
		t.Error("what was begun with the old secret cannot be told from what is begun with the new one")
	}
	if w.of(was) != before {
		t.Error("what was begun with the old secret ends although that is good")
	}
	if at, ok := w.PreviousUsed(idOf(was)); !ok || time.Since(at) > time.Minute {
		t.Errorf("the old secret was used: %v, %t", at, ok)
	}
	w.user("bob") // something else changes
	if _, ok := w.PreviousUsed(idOf(was)); !ok {
		t.Error("that the old secret was used is forgotten")
	}
	last := rotate(-time.Second)
	for what, text := range map[string]string{"after the grace": now, "two rotations ago": was} {
		if _, err := w.Identify(showing("Bearer "+text), access.ViaTLS, what); !errors.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.of(last)
}

func TestWhatAUserHoldsIsCompiledWhenItChanges(t *testing.T) {
	w := newWorld(t)
	w.role("reader", "read service team-a-*")
	w.setUser(&storev1.User{User: &ruedov1.User{Name: "ada", Roles: []string{"reader", "caller", "gone"}, Grants: []string{"write service team-a-x", "no grant"}}})
	all, narrow := w.token("ada"), w.token("ada", func(t *storev1.Token) { t.Token.Grants = []string{"call service team-*"} })
	broken := w.token("ada", func(t *storev1.Token) { t.Token.Grants = []string{"not a grant at all"} })
	may := func(text string, verb access.Verb, name string) bool {
		return w.of(text).Allows(verb, access.Service, name)
	}
	if !may(all, access.Read, "team-a-x") || !may(all, access.Write, "team-a-x") || !may(all, access.Call, "any") || may(all, access.Read, "team-b-x") {
		t.Errorf("%v", w.of(all).Grants.Strings())
	}
	if may(narrow, access.Read, "team-a-x") || !may(narrow, access.Call, "team-a-x") || may(narrow, access.Call, "any") {
		t.Error("the narrow token")
	}
	if may(broken, access.Call, "any") {
		t.Error("a token whose grants cannot be read is not narrowed")
	}
	first := w.of(all)
	w.user("bob", "call service *")
	w.token("bob")
	if w.of(all) != first {
		t.Error("ada's principal was compiled again when bob came")
	}
	// Everything was listed again: the messages are others, and say the same.
	w.Change(func(s *mirror.Snapshot) {
		s.Users, s.Roles, s.Tokens = cloned(s.Users), cloned(s.Roles), cloned(s.Tokens)
	})
	if w.of(all) != first {
		t.Error("ada's principal is another one, although nothing has changed")
	}
	w.role("reader", "read service team-b-*")
	if p := w.of(all); p == first || !p.Allows(access.Read, access.Service, "team-b-x") || p.Allows(access.Read, access.Service, "team-a-y") {
		t.Error("the role has changed, and what ada may do has not")
	}
}

func cloned[M proto.Message](m map[string]M) map[string]M {
	c := map[string]M{}
	for name, v := range m {
		c[name] = proto.Clone(v).(M)
	}
	return c
}

// Only tokens that are not good are limited, and only those of one address.
func TestFailuresAreLimited(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	good := w.token("ada")
	bad := func(from string) *fault.Error {
		_, err := w.Identify(showing("Bearer "+token.New(token.Bearer).Reveal()), access.ViaTCP, from)
		return err
	}
	for i := range 20 {
		if err := bad("10.0.0.9"); err.Reason != fault.Unauthenticated {
			t.Fatalf("number %d: %v", i+1, err)
		}
	}
	if err := bad("10.0.0.9"); err.Reason != fault.LoginLimit || err.RetryAfter <= 0 || err.RetryAfter > time.Minute {
		t.Errorf("one too many: %+v", err)
	}
	if p, err := w.Identify(showing("Bearer "+good), access.ViaTCP, "10.0.0.9"); err != nil || p.Name != "user/ada" {
		t.Errorf("a good token of that address: %v", err)
	}
	if err := bad("10.0.0.8"); err.Reason != fault.Unauthenticated {
		t.Errorf("another address: %v", err)
	}
}

func TestAStoreThatIsSilentForTooLong(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	good := w.token("ada")
	w.age = auth.DefaultMaxStale + time.Minute
	for what, r := range map[string]*http.Request{"a token": showing("Bearer " + good), "nothing": showing()} {
		_, err := w.Identify(r, access.ViaTLS, "10.0.0.1")
		testkit.WantReason(t, err, fault.StaleAccess, "24h1m0s")
		if p, err := w.Identify(r, access.ViaSocket, ""); err != nil || !strings.HasPrefix(p.Name, "local/") {
			t.Errorf("%s on the socket: %v", what, err)
		}
	}
	w.age = auth.DefaultMaxStale - time.Minute
	w.of(good)
}

// A cluster without login asks nobody, which costs nothing; and there is no way back
// from one with.
func TestWithoutLogin(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	w.of(w.token("ada"))
	w.Change(func(s *mirror.Snapshot) { s.Accesses = nil })
	if p, err := w.Identify(showing(), access.ViaTCP, "10.0.0.1"); err != nil || p.Name != access.Anonymous {
		t.Errorf("that login is needed has been deleted: %+v, %v", p, err)
	}

	off := auth.New(auth.Config{Mirror: coretest.NewMirror()})
	defer off.Close()
	r := showing("Bearer garbage")
	p, err := off.Identify(r, access.ViaTCP, "10.0.0.1")
	if err != nil || !strings.HasPrefix(p.Name, "local/") || !p.Assumed || !p.Holds(access.Everything) {
		t.Errorf("%+v, %v", p, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = off.Identify(r, access.ViaTCP, "10.0.0.1") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A token that is good costs a request no memory.
func TestAGoodTokenAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "read service *", "call service team-*")
	for what, text := range map[string]string{
		"plain": w.token("ada"), "narrow": w.token("ada", func(t *storev1.Token) { t.Token.Grants = []string{"call service *"} }),
	} {
		r := showing("Bearer " + text)
		if n := testing.AllocsPerRun(100, func() {
			if p, err := w.Identify(r, access.ViaTLS, "10.0.0.1"); err != nil || !p.Allows(access.Call, access.Service, "team-greet") {
				t.Fatalf("%s: %+v, %v", what, p, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

// BenchmarkAuthorize measures what a request with a token costs more than one in a
// cluster without login: among 10,000 tokens, of a user with 20 grants.
func BenchmarkAuthorize(b *testing.B) {
	w := newWorld(b)
	var grants []string
	for i := range 19 {
		grants = append(grants, fmt.Sprintf("call service team-%d-*", i))
	}
	w.user("ada", append(grants, "call service greet")...)
	tokens := map[string]*storev1.Token{}
	var text string
	for range 10_000 {
		t := token.New(token.Bearer)
		hash := t.Hash()
		tokens[t.ID()] = &storev1.Token{Token: &ruedov1.Token{Id: t.ID(), User: "ada", ExpireTime: timestamppb.New(time.Now().Add(time.Hour))}, Hash: hash[:]}
		text = t.Reveal()
	}
	w.Change(func(s *mirror.Snapshot) { s.Tokens = tokens })
	r := showing("Bearer " + text)
	b.Run("request", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := w.Identify(r, access.ViaTLS, "10.0.0.1")
			if err != nil || !p.Allows(access.Call, access.Service, "greet") {
				b.Fatal(err)
			}
		}
	})
	b.Run("change", func(b *testing.B) { // of one token: what the next request pays once
		stored := tokens[idOf(text)]
		for b.Loop() {
			w.Change(func(s *mirror.Snapshot) {
				s.Tokens = maps.Clone(s.Tokens)
				s.Tokens[idOf(text)] = proto.CloneOf(stored)
			})
			w.of(text)
		}
	})
}
