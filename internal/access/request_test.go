package access_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestCheck(t *testing.T) {
	ada := &access.Principal{Name: "user/ada", Grants: set(t, "read service team-a-*", "call service team-a-greet")}
	ctx := access.With(t.Context(), &access.Request{Principal: ada, Via: access.ViaTCP})
	if err := access.Check(ctx, access.Call, access.Service, "team-a-greet"); err != nil {
		t.Error(err)
	}
	err := access.Check(ctx, access.Write, access.Service, "team-a-greet")
	testkit.WantReason(t, err, fault.PermissionDenied, `user/ada may not do this: it needs the grant "write service team-a-greet"`)
	if err := access.Check(ctx, access.Read, access.Service, "team-b-greet"); !errors.Is(err, access.ErrHidden) {
		t.Errorf("a name that is invisible: %v", err)
	}

	nobody := access.With(t.Context(), &access.Request{Principal: &access.Principal{Name: access.Anonymous}})
	for _, name := range []string{"team-a-greet", "team-b-greet"} {
		testkit.WantReason(t, access.Check(nobody, access.Call, access.Service, name), fault.Unauthenticated)
	}
	testkit.WantReason(t, access.CheckSome(nobody, access.Read, access.Service), fault.Unauthenticated)

	if err := access.CheckSome(ctx, access.Read, access.Service); err != nil {
		t.Error(err)
	}
	testkit.WantReason(t, access.CheckSome(ctx, access.Read, access.User), fault.PermissionDenied)
}

// A context in which nothing says who asks allows nothing.
func TestNobodySaysWhoAsks(t *testing.T) {
	testkit.WantReason(t, access.Check(context.Background(), access.Read, access.Service, "greet"), fault.PermissionDenied)
	testkit.WantReason(t, access.CheckSome(context.Background(), access.Read, access.Service), fault.PermissionDenied)
	if access.Visible(context.Background(), access.Service)("greet") {
		t.Error("a name is visible")
	}
}

// A token can do what both its user and itself may do.
func TestNarrowTokens(t *testing.T) {
	p := &access.Principal{Name: "user/ci", Grants: set(t, "* service team-a-*", "read user *"), Narrow: set(t, "call service *")}
	for _, c := range []struct {
		verb access.Verb
		name string
		want bool
	}{
		{access.Call, "team-a-greet", true}, {access.Write, "team-a-greet", false}, {access.Call, "team-b-greet", false},
	} {
		if got := p.Allows(c.verb, access.Service, c.name); got != c.want {
			t.Errorf("%s %s: %t", access.VerbWord(c.verb), c.name, got)
		}
	}
	if p.Some(access.Read, access.User) || p.Sees(access.User, "ada") {
		t.Error("a token that is narrow sees users")
	}
	if g := (access.Grant{Verb: access.Call, Noun: access.Service, Pattern: "team-a-x"}); !p.Holds(g) {
		t.Error("it does not hold what both hold")
	}
	if p.Holds(access.Grant{Verb: access.Write, Noun: access.Service, Pattern: "team-a-x"}) {
		t.Error("it holds what it may not do itself")
	}
	none := &access.Principal{Grants: set(t, "* * *"), Narrow: access.Set{}}
	if none.Allows(access.Read, access.Service, "greet") {
		t.Error("a token without grants allows something")
	}
}
