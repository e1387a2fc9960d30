package auth_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/mirror"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// call is an exchange of a service that is open, until its caller may not go on.
type call struct{ context.Context }

// open begins a call of the service team-a-x.
func (w *world) open(p *access.Principal) call {
	ctx, cancel := context.WithCancelCause(access.With(w.t.Context(), &access.Request{Principal: p}))
	w.t.Cleanup(w.FollowCall(ctx, "team-a-x", cancel))
	return call{ctx}
}

// why returns why the call has ended, nil if it goes on. What has changed has been
// judged.
func (w *world) why(c call) error {
	w.of(w.token("judge"))
	return context.Cause(c)
}

func TestACallGoesOnForAsLongAsItsCallerMayCall(t *testing.T) {
	w := newWorld(t)
	w.user("judge")
	anonymous := func() *access.Principal {
		p, err := w.Identify(showing(), access.ViaTCP, "10.0.0.2")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for what, c := range map[string]struct {
		change func(token string)
		want   fault.Reason // "" goes on
	}{
		"nothing":          {func(string) {}, ""},
		"another user":     {func(string) { w.user("bob", "call service *") }, ""},
		"more":             {func(string) { w.user("ada", "call service team-a-*", "read service *") }, ""},
		"the same, other":  {func(string) { w.user("ada", "* service team-a-x") }, ""},
		"another service":  {func(string) { w.user("ada", "call service team-b-*") }, fault.PermissionDenied},
		"nothing any more": {func(string) { w.user("ada") }, fault.PermissionDenied},
		"disabled": {func(string) {
			w.setUser(&storev1.User{User: &ruedov1.User{Name: "ada", Disabled: true, Grants: []string{"call service *"}}})
		}, fault.Unauthenticated},
		"deleted": {func(string) {
			w.Change(func(s *mirror.Snapshot) { s.Users = with(s.Users, "ada", nil); delete(s.Users, "ada") })
		}, fault.Unauthenticated},
		"all revoked": {func(string) { w.Change(func(s *mirror.Snapshot) { s.Tokens = nil }) }, fault.Unauthenticated},
		"narrowed": {func(text string) {
			stored := proto.CloneOf(w.Snapshot().Tokens[idOf(text)])
			stored.Token.Grants = []string{"call service team-a-y"}
			w.setToken(stored)
		}, fault.PermissionDenied},
	} {
		w.user("ada", "call service team-a-*")
		text := w.token("ada")
		open := w.open(w.of(text))
		if err := w.why(open); err != nil {
			t.Fatalf("%s: it ended before: %v", what, err)
		}
		c.change(text)
		if err := w.why(open); c.want == "" && err != nil || c.want != "" && fault.ReasonOf(err) != c.want {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}

	w.user(access.Anonymous, "call service team-a-*")
	public := w.open(anonymous())
	w.user(access.Anonymous, "call service *")
	if err := w.why(public); err != nil {
		t.Errorf("it is still public: %v", err)
	}
	w.user(access.Anonymous, "call service public-*")
	testkit.WantReason(t, w.why(public), fault.Unauthenticated)
}

// What was open before the cluster had a login ends when it gets one, and nobody has to
// ask for anything first.
func TestACallEndsWhenTheClusterGetsALogin(t *testing.T) {
	w := newWorldWithoutLogin(t)
	everybody, err := w.Identify(showing(), access.ViaTCP, "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := w.Identify(showing(), access.ViaSocket, "")
	if err != nil {
		t.Fatal(err)
	}
	open, local := w.open(everybody), w.open(socket)
	w.user("ada", "call service *")
	if err := context.Cause(open); err != nil {
		t.Fatalf("it ended before: %v", err)
	}
	w.setAccess(&storev1.Access{Login: true})
	select {
	case <-open.Done():
		testkit.WantReason(t, context.Cause(open), fault.Unauthenticated)
	case <-time.After(testkit.Patience):
		t.Error("it goes on")
	}
	if err := context.Cause(local); err != nil {
		t.Errorf("that of the socket has ended: %v", err)
	}
}

// Each secret of a token has calls of its own.
func TestACallEndsWithTheSecretThatBeganIt(t *testing.T) {
	w := newWorld(t)
	w.user("judge")
	w.user("ada", "call service *")
	was := w.token("ada")
	old := w.open(w.of(was))
	rotate := func(grace time.Duration) string {
		stored := proto.CloneOf(w.Snapshot().Tokens[idOf(was)])
		next, err := token.Renew(token.Bearer, idOf(was))
		if err != nil {
			t.Fatal(err)
		}
		hash := next.Hash()
		stored.PreviousHash, stored.Hash, stored.Token.PreviousUntil = stored.GetHash(), hash[:], timestamppb.New(time.Now().Add(grace))
		if grace == 0 {
			stored.PreviousHash, stored.Token.PreviousUntil = nil, nil
		}
		w.setToken(stored)
		return next.Reveal()
	}
	now := w.of(rotate(time.Hour))
	within := w.open(now)
	if err := w.why(old); err != nil {
		t.Errorf("within the grace: %v", err)
	}
	w.user("ada", "call service team-a-*") // each is another principal now
	rotate(0)
	for what, c := range map[string]call{"the first": old, "the second": within} {
		if err := w.why(c); fault.ReasonOf(err) != fault.Unauthenticated {
			t.Errorf("%s: %v", what, err)
		}
	}

	// A grace that ends, and a token that expires: nothing changes then.
	was = w.token("ada")
	old = w.open(w.of(was))
	rotate(time.Second)
	short := w.open(w.of(w.token("ada", func(t *storev1.Token) { t.Token.ExpireTime = timestamppb.New(time.Now().Add(time.Second)) })))
	for what, c := range map[string]call{"the grace": old, "the token": short} {
		select {
		case <-c.Done():
			testkit.WantReason(t, context.Cause(c), fault.Unauthenticated)
		case <-time.After(testkit.Patience):
			t.Errorf("%s has ended, and the call goes on", what)
		}
	}
}

// BenchmarkFollowCall measures what an exchange that streams costs more, among as many
// as a core serves; and what a change costs that takes nothing from anybody.
func BenchmarkFollowCall(b *testing.B) {
	w := newWorld(b)
	w.user("ada", "call service *")
	ada := w.of(w.token("ada"))
	for range 2000 {
		w.open(ada)
	}
	b.Run("call", func(b *testing.B) {
		ctx := access.With(b.Context(), &access.Request{Principal: ada})
		b.ReportAllocs()
		for b.Loop() {
			w.FollowCall(ctx, "team-a-x", func(error) {})()
		}
	})
	b.Run("change", func(b *testing.B) { // of something else
		for b.Loop() {
			w.Change(func(*mirror.Snapshot) {})
			w.Identify(showing(), access.ViaTCP, "10.0.0.2")
		}
	})
}
