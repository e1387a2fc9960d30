package users_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/ruedo-dev/ruedo/core/coretest/userstest"
	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/users"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

const day = 24 * time.Hour

func TestLifetimes(t *testing.T) {
	h := open(t)
	h.Create(t, &ruedov1.User{Name: "ci", Machine: true})
	h.Create(t, &ruedov1.User{Name: "ada"})
	for _, c := range []struct {
		user string
		asks time.Duration
		want time.Duration // zero: it is refused
		says string
	}{
		{"ci", 0, 90 * day, ""}, {"ada", 0, users.DefaultSession, ""}, {"ci", time.Hour, time.Hour, ""}, {"ada", 366 * day, 366 * day, ""},
		{"ci", 366*day + time.Hour, 0, "a lifetime of 8785h0m0s is longer than the limit of 366d"}, {"ci", 400 * day, 0, "of 400d is longer"}, {"ci", -1, 0, "is over already"},
	} {
		made, _, err := h.CreateToken(userstest.Socket(t), &ruedov1.CreateTokenRequest{User: c.user, Lifetime: durationpb.New(c.asks), Description: "for a test"})
		if c.want == 0 {
			testkit.WantReason(t, err, fault.RequestInvalid, c.says)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := made.GetExpireTime().AsTime().Sub(made.GetCreateTime().AsTime()); got != c.want || made.GetSession() || made.GetUser() != c.user || made.GetDescription() != "for a test" {
			t.Errorf("%s asks for %s and gets %v", c.user, c.asks, made)
		}
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	h := open(t)
	admin := h.Program(t, "admin-1", "role:admin")
	h.Create(t, &ruedov1.User{Name: "ci", Machine: true}, "call service team-a-*")
	h.Create(t, &ruedov1.User{Name: "strong", Machine: true}, "role:admin")
	manager := h.As(t, h.Program(t, "manager", "write user ci", "write user strong", "read user bob", "call service team-a-*"))
	h.Create(t, &ruedov1.User{Name: "bob"})
	narrow := h.As(t, h.Secret(t, &ruedov1.CreateTokenRequest{User: "admin-1", Grants: []string{"call service *", "write user *"}}))
	request := func(user string, grants ...string) *ruedov1.CreateTokenRequest {
		return &ruedov1.CreateTokenRequest{User: user, Grants: grants}
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		req  *ruedov1.CreateTokenRequest
		want fault.Reason
		says string
	}{
		"for nobody in particular, by who is no user":          {userstest.Socket(t), request(""), fault.RequestInvalid, "name a user"},
		"for a user who is not there":                          {userstest.Socket(t), request("c1"), fault.UserNotFound, "did you mean ci?"},
		"for a user whom the caller cannot see":                {manager, request("admin-1"), fault.UserNotFound, ""},
		"for a user whom the caller can only see":              {manager, request("bob"), fault.PermissionDenied, `"write user bob"`},
		"for a user who holds more":                            {manager, request("strong"), fault.GrantExceeds, `"* * *"`},
		"a narrow one for a user who holds more":               {manager, request("strong", "call service team-a-x"), fault.GrantExceeds, `"* * *"`},
		"with a grant that the caller does not hold":           {manager, request("", "call service *"), fault.GrantExceeds, `"call service *"`},
		"with a grant that does not parse":                     {manager, request("", "call services *"), fault.GrantInvalid, "is not a noun"},
		"a wide one, shown a narrow one":                       {narrow, request(""), fault.GrantExceeds, `"* * *"`},
		"with more than the narrow one that the request shows": {narrow, request("", "read service *"), fault.GrantExceeds, `"read service *"`},
		"for a user who holds more than a narrow one":          {narrow, request("strong"), fault.GrantExceeds, `"* * *"`},
	} {
		t.Run(name, func(t *testing.T) {
			made, secret, err := h.CreateToken(c.ctx, c.req)
			testkit.WantReason(t, err, c.want, c.says)
			if made != nil || secret.Reveal() != "" {
				t.Error("there is a token all the same")
			}
		})
	}
	for what, ctx := range map[string]context.Context{"of the own user": narrow, "of a user who holds as much": h.As(t, admin)} {
		if _, _, err := h.CreateToken(ctx, request("", "call service *")); err != nil {
			t.Errorf("a narrow token %s: %v", what, err)
		}
	}
	if _, _, err := h.CreateToken(manager, request("ci")); err != nil {
		t.Errorf("for a user who holds as much: %v", err)
	}

	for i := range 64 {
		_, _, err := h.CreateToken(userstest.Socket(t), request("bob"))
		if err != nil {
			t.Fatal(i, err)
		}
	}
	_, _, err := h.CreateToken(userstest.Socket(t), request("bob"))
	testkit.WantReason(t, err, fault.PrincipalLimit, "user bob has 64 tokens")
}

func TestRotation(t *testing.T) {
	h := open(t)
	h.Create(t, &ruedov1.User{Name: "ci", Machine: true}, "read service *", "call service *")
	first, secret, err := h.CreateToken(userstest.Socket(t), &ruedov1.CreateTokenRequest{User: "ci", Grants: []string{"call service *"}, Description: "pipeline", Lifetime: durationpb.New(30 * day)})
	if err != nil {
		t.Fatal(err)
	}
	one := secret.Reveal()
	rotate := func(ctx context.Context, grace, lifetime time.Duration) (*ruedov1.Token, string) {
		t.Helper()
		made, s, err := h.RotateToken(ctx, &ruedov1.RotateTokenRequest{Id: first.GetId(), Grace: durationpb.New(grace), Lifetime: durationpb.New(lifetime)})
		if err != nil {
			t.Fatal(err)
		}
		return made, s.Reveal()
	}

	made, two := rotate(h.As(t, one), time.Hour, 0) // with itself
	if two == one || made.GetId() != first.GetId() || made.GetDescription() != "pipeline" || !slices.Equal(made.GetGrants(), first.GetGrants()) {
		t.Errorf("%v", made)
	}
	if life := made.GetExpireTime().AsTime().Sub(made.GetCreateTime().AsTime()); life != 30*day || !made.GetExpireTime().AsTime().After(first.GetExpireTime().AsTime()) {
		t.Errorf("it lives %s until %s", life, made.GetExpireTime().AsTime())
	}
	if left := time.Until(made.GetPreviousUntil().AsTime()); left > time.Hour || left < 50*time.Minute || made.GetPreviousUsed() != nil {
		t.Errorf("%v", made)
	}
	h.Good(t, true, one, two)
	all, err := h.Tokens(userstest.Socket(t), "ci")
	if err != nil || all[first.GetId()].GetPreviousUsed() == nil {
		t.Errorf("the old secret was used, and nobody says so: %v, %v", all, err)
	}

	_, three := rotate(userstest.Socket(t), 0, time.Hour)
	h.Good(t, false, one, two)
	h.Good(t, true, three)

	made, four := rotate(userstest.Socket(t), day, 0)
	if until := made.GetPreviousUntil().AsTime(); time.Until(until) > time.Hour {
		t.Errorf("the old secret lives longer than it would have: until %s", until)
	}
	h.Good(t, true, three, four)

	for name, c := range map[string]struct {
		ctx  context.Context
		req  *ruedov1.RotateTokenRequest
		want fault.Reason
	}{
		"a grace too long":    {userstest.Socket(t), &ruedov1.RotateTokenRequest{Id: first.GetId(), Grace: durationpb.New(8 * day)}, fault.RequestInvalid},
		"a lifetime too long": {userstest.Socket(t), &ruedov1.RotateTokenRequest{Id: first.GetId(), Lifetime: durationpb.New(367 * day)}, fault.RequestInvalid},
		"not there":           {userstest.Socket(t), &ruedov1.RotateTokenRequest{Id: "abcdefghij"}, fault.TokenNotFound},
		"one that is wider":   {h.As(t, four), &ruedov1.RotateTokenRequest{Id: h.Secret(t, &ruedov1.CreateTokenRequest{User: "ci"})[8:18]}, fault.GrantExceeds},
		"of somebody else":    {h.As(t, h.Program(t, "other")), &ruedov1.RotateTokenRequest{Id: first.GetId()}, fault.TokenNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			_, s, err := h.RotateToken(c.ctx, c.req)
			if testkit.WantReason(t, err, c.want); s.Reveal() != "" {
				t.Error("there is a secret")
			}
		})
	}
	h.Good(t, true, three, four)
}

// Everybody sees and ends their own tokens. Those of others look as if they were not
// there.
func TestWhoseTokensTheyAre(t *testing.T) {
	h := open(t)
	ada, bob := h.Program(t, "ada"), h.Program(t, "bob")
	manager := h.Program(t, "manager", "write user ada", "read user bob")
	ids := func(secret string) string { return secret[len("ruedo_t_"):][:10] }
	listed := func(secret, user string) string {
		t.Helper()
		all, err := h.Tokens(h.As(t, secret), user)
		if err != nil {
			return string(fault.ReasonOf(err))
		}
		var owners []string
		for id, tok := range all {
			if tok.GetId() != id {
				t.Errorf("%v", tok)
			}
			owners = append(owners, tok.GetUser())
		}
		slices.Sort(owners)
		return strings.Join(owners, " ")
	}
	for _, c := range []struct{ secret, user, want string }{
		{ada, "", "ada"}, {ada, "ada", "ada"}, {ada, "bob", "USER_NOT_FOUND"}, {ada, "nobody", "USER_NOT_FOUND"},
		{manager, "", "ada manager"}, {manager, "ada", "ada"}, {manager, "bob", "PERMISSION_DENIED"},
	} {
		if got := listed(c.secret, c.user); got != c.want {
			t.Errorf("tokens of %q: %q, want %q", c.user, got, c.want)
		}
	}

	var first *fault.Error
	for _, id := range []string{ids(bob), "abcdefghij"} { // there, and not there
		e := fault.FromError(h.DeleteToken(h.As(t, ada), id))
		if first == nil {
			first = e
		}
		if e.Reason != fault.TokenNotFound || strings.ReplaceAll(e.Message, id, "ID") != strings.ReplaceAll(first.Message, ids(bob), "ID") || e.Fix != first.Fix {
			t.Errorf("%s: %v | %s", id, e, e.Fix)
		}
	}
	testkit.WantReason(t, h.EndTokens(h.As(t, ada), "bob"), fault.UserNotFound)
	testkit.WantReason(t, h.EndTokens(h.As(t, manager), "bob"), fault.PermissionDenied)
	testkit.WantReason(t, h.EndAllTokens(h.As(t, manager)), fault.PermissionDenied, `"write user *"`)
	testkit.WantReason(t, h.EndTokens(userstest.Socket(t), ""), fault.RequestInvalid)
	h.Good(t, true, ada, bob, manager)

	if err := h.DeleteToken(h.As(t, manager), ids(ada)); err != nil {
		t.Error(err)
	}
	h.Good(t, false, ada)
	if err := h.EndTokens(h.As(t, bob), ""); err != nil {
		t.Error(err)
	}
	h.Good(t, false, bob)
	h.Good(t, true, manager)
	if err := h.EndAllTokens(userstest.Socket(t)); err != nil {
		t.Error(err)
	}
	h.Good(t, false, manager)
	if all, err := h.Tokens(userstest.Socket(t), ""); err != nil || len(all) != 0 {
		t.Errorf("tokens that ended are listed: %v, %v", all, err)
	}
	h.Good(t, true, h.Secret(t, &ruedov1.CreateTokenRequest{User: "manager"}))
}

// Whatever somebody manages to hand out, nobody can do more with it than they could.
func TestNobodyGivesAwayMoreThanTheyHold(t *testing.T) {
	h := open(t)
	names := []string{"a", "a-b", "b"}
	grant := rapid.Custom(func(r *rapid.T) string {
		for {
			g := fmt.Sprintf("%s %s %s", rapid.SampledFrom(access.Verbs()).Draw(r, "verb"), rapid.SampledFrom([]string{"service", "user", "decorator", "*"}).Draw(r, "noun"),
				rapid.SampledFrom([]string{"*", "a-*", "a", "a-b", "b"}).Draw(r, "pattern"))
			if _, err := access.Parse(g); err == nil {
				return g
			}
		}
	})
	list := rapid.SliceOfNDistinct(grant, 0, 5, rapid.ID[string])
	n, given := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		// It may write every user, so that only what it holds can stop it.
		writer := h.As(t, h.Program(t, fmt.Sprint("writer-", n), append(slices.DeleteFunc(list.Draw(r, "writer"), func(g string) bool { return g == "write user *" }), "write user *")...))
		wanted := list.Draw(r, "user")
		name := fmt.Sprint("user-", n)
		_, _, err := h.CreateUser(writer, &ruedov1.User{Name: name, Machine: true, Grants: wanted}, 0)
		covered := true
		for _, g := range wanted {
			one, err := access.Parse(g)
			covered = covered && err == nil && access.Of(writer).Holds(one)
		}
		if (err == nil) != covered || err != nil && !errors.Is(err, fault.GrantExceeds) {
			r.Fatalf("%s gives %q: %v", access.Of(writer).Grants.Strings(), wanted, err)
		}
		if err != nil {
			return
		}
		given++
		_, secret, err := h.CreateToken(writer, &ruedov1.CreateTokenRequest{User: name})
		if err != nil {
			r.Fatal(err)
		}
		user := access.Of(h.As(t, secret.Reveal()))
		for verb := access.Read; verb <= access.Execute; verb++ {
			for noun := access.Service; noun <= access.Issuer; noun++ {
				for _, name := range names {
					one := access.Grant{Verb: verb, Noun: noun, Pattern: name}
					if _, err := access.Parse(one.String()); err == nil && user.Allows(verb, noun, name) && !access.Of(writer).Allows(verb, noun, name) {
						r.Fatalf("%s gave %q, which allows %s", access.Of(writer).Grants.Strings(), wanted, one)
					}
				}
			}
		}
	})
	if given == 0 || given == n {
		t.Errorf("%d of %d users were created", given, n)
	}
}

func TestTokensThatAreOverAreRemoved(t *testing.T) {
	h := open(t)
	ctx := access.WithPrincipal(t.Context(), "job/expire-tokens")
	leadership, err := h.Store.Cluster().Campaign(ctx, &ruedov1.Leader{Core: "core-1"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = leadership.Resign(context.Background()) })
	good := h.Program(t, "ci")
	run := func(dry bool) string {
		t.Helper()
		result, err := h.Job().Run(ctx, &jobs.Turn{Fence: leadership.Fence(), DryRun: dry})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	if got := run(false); got != "removed 0 tokens; 1 stay" {
		t.Error(got)
	}
	// More than one transaction of them: expired, of another epoch, of nobody.
	var batch principals.Batch
	write := func() {
		t.Helper()
		batch.Change = chain.Change{Action: "create", Noun: "token", Name: "many"}
		revision, err := h.People.Write(userstest.Socket(t), batch)
		if err == nil {
			err = h.Mirror.Wait(ctx, revision)
		}
		if err != nil {
			t.Fatal(err)
		}
		batch = principals.Batch{}
	}
	v := h.View()
	for i := range 210 {
		one := h.NewSession(token.New(token.Bearer), v, v.Users["ci"])
		switch i % 3 {
		case 0:
			one.Token.ExpireTime = one.GetToken().GetCreateTime()
		case 1:
			one.Epoch--
		case 2:
			one.Token.User = "nobody"
		}
		if batch.Tokens = append(batch.Tokens, one); len(batch.Tokens) == 100 {
			write()
		}
	}
	write()
	if got := run(true); got != "would remove 210 tokens; 1 stay" || len(h.Mirror.Snapshot().Tokens) != 211 {
		t.Error(got)
	}
	if got := run(false); got != "removed 210 tokens; 1 stay" {
		t.Error(got)
	}
	testkit.Eventually(t, "they are gone", func() bool { return len(h.Mirror.Snapshot().Tokens) == 1 })
	h.Good(t, true, good)
}

func TestATokenOfTheInstallationIsAdopted(t *testing.T) {
	h := open(t)
	ctx := access.WithPrincipal(t.Context(), "core/core-1")
	_, err := h.Adopt(ctx, "ruedo_t_mistyped")
	testkit.WantReason(t, err, fault.TokenInvalid)
	offline := token.New(token.Bearer)
	for i, want := range []bool{true, false} { // also when the core starts again
		if did, err := h.Adopt(ctx, offline.Reveal()); did != want || err != nil {
			t.Errorf("start %d: %t, %v", i+1, did, err)
		}
	}
	if p := access.Of(h.As(t, offline.Reveal())); p.User() != "admin" || !p.Holds(access.Everything) {
		t.Errorf("%v", p)
	}
	if did, err := h.Adopt(ctx, token.New(token.Bearer).Reveal()); did || err != nil {
		t.Errorf("another one: %t, %v", did, err)
	}
	// Once there is another administrator it can go, and does not come back.
	h.Create(t, &ruedov1.User{Name: "ada"}, "role:admin")
	if err := h.DeleteUser(h.As(t, offline.Reveal()), "admin"); err != nil {
		t.Fatal(err)
	}
	if did, err := h.Adopt(ctx, offline.Reveal()); did || err != nil {
		t.Errorf("after it was deleted: %t, %v", did, err)
	}
	h.Good(t, false, offline.Reveal())
}
