package login

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/auth/limit"
	"github.com/ruedo-dev/ruedo/core/coretest/userstest"
	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/users"
	"github.com/ruedo-dev/ruedo/core/users/holdings"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

func TestANewcomerLogsIn(t *testing.T) {
	d := open(t)
	if h, err := d.Hello(); err != nil || h.GetCluster() != "main" || h.GetVersion() != "v1" || !h.GetLogin() || h.GetPin() != "" {
		t.Errorf("%v, %v", h, err)
	}
	created, invite, err := d.CreateUser(userstest.Socket(t), &ruedov1.User{Name: "ada", Roles: []string{"admin"}}, 0)
	if err != nil || created.GetVersion() == 0 || created.GetHasPassword() {
		t.Fatal(created, err)
	}
	if left := time.Until(invite.GetExpireTime().AsTime()); left > time.Hour || left < 50*time.Minute {
		t.Errorf("the invite can be used for %s", left)
	}

	made, secret, err := d.AcceptInvite(stranger(t, "10.0.0.1"), userstest.InviteIn(t, invite.GetLink()), pass)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(made.GetExpireTime().AsTime()); !made.GetSession() || made.GetUser() != "ada" || left > users.DefaultSession || left < users.DefaultSession-time.Minute {
		t.Errorf("the session is %v", made)
	}
	me, err := d.WhoAmI(d.As(t, secret.Reveal()))
	if err != nil || me.GetPrincipal() != "user/ada" || me.GetToken().GetId() != made.GetId() || strings.Join(me.GetRoles(), ",") != "admin" || strings.Join(me.GetGrants(), ",") != "* * *" || me.GetCluster() != "main" {
		t.Errorf("%v, %v", me, err)
	}
	if !d.Read(t, "ada").GetHasPassword() {
		t.Error("ada has no password")
	}

	again, other, err := d.Login.Login(stranger(t, "10.0.0.2"), "ada", pass)
	if err != nil || !again.GetSession() || again.GetId() == made.GetId() {
		t.Fatal(again, err)
	}
	d.Good(t, true, secret.Reveal(), other.Reveal())

	if err := d.Logout(d.As(t, other.Reveal())); err != nil {
		t.Fatal(err)
	}
	d.Good(t, false, other.Reveal())
	d.Good(t, true, secret.Reveal())
	if err := d.Logout(userstest.Socket(t)); err != nil {
		t.Errorf("without a token: %v", err)
	}

	_, _, err = d.AcceptInvite(stranger(t, "10.0.0.3"), userstest.InviteIn(t, invite.GetLink()), pass+" again")
	testkit.WantReason(t, err, fault.TokenUsed, "used already")
	d.WasDenied(t, "accept user ada TOKEN_USED")
	if _, _, err := d.Login.Login(stranger(t, "10.0.0.2"), "ada", pass); err != nil {
		t.Errorf("the password is another one after an invite was used again: %v", err)
	}
}

// Whatever is wrong with a login, it is the same answer after the same work.
func TestLoginsThatFail(t *testing.T) {
	d := open(t)
	d.person(t, "ada")
	d.Program(t, "ci")
	d.person(t, "bob")
	d.Create(t, &ruedov1.User{Name: "invited"})
	if _, err := d.UpdateUser(userstest.Socket(t), &ruedov1.User{Name: "bob", Disabled: true}); err != nil {
		t.Fatal(err)
	}
	var first *fault.Error
	for _, c := range []struct{ user, pass, denied string }{
		{"ada", "wrong", "login user ada UNAUTHENTICATED"},
		{"ada", "", "login user ada UNAUTHENTICATED"},
		{"nobody", pass, "login user  UNAUTHENTICATED"},
		{"", "", "login user  UNAUTHENTICATED"},
		{pass, "ada", "login user  UNAUTHENTICATED"}, // the password in the wrong field stays out of the audit
		{"ci", "", "login user ci UNAUTHENTICATED"},
		{"bob", pass, "login user bob UNAUTHENTICATED"},
		{"invited", "", "login user invited UNAUTHENTICATED"},
	} {
		before := d.passwords.Count()
		_, secret, err := d.Login.Login(stranger(t, "10.0.0.1"), c.user, c.pass)
		testkit.WantReason(t, err, fault.Unauthenticated)
		e := fault.FromError(err)
		if first == nil {
			first = e
		}
		if e.Message != first.Message || e.Fix != first.Fix || secret.Reveal() != "" {
			t.Errorf("%s: %q | %q, and for others %q | %q", c.user, e.Message, e.Fix, first.Message, first.Fix)
		}
		if n := d.passwords.Count() - before; n != 1 {
			t.Errorf("%s: %d hashes were computed", c.user, n)
		}
		d.WasDenied(t, c.denied)
	}
}

func TestLoginsAreLimited(t *testing.T) {
	d := open(t)
	d.person(t, "ada")
	var err error
	for range attemptsPerAddress {
		if _, _, err = d.Login.Login(stranger(t, "2001:db8::1"), "ada", "wrong"); !errors.Is(err, fault.Unauthenticated) {
			t.Fatal(err)
		}
	}
	before := d.passwords.Count()
	_, _, err = d.Login.Login(stranger(t, "2001:db8::2"), "ada", pass) // of the same network
	testkit.WantReason(t, err, fault.LoginLimit)
	if fault.FromError(err).RetryAfter <= 0 || d.passwords.Count() != before {
		t.Errorf("after %s; %d hashes were computed", fault.FromError(err).RetryAfter, d.passwords.Count()-before)
	}
	if _, _, err := d.Login.Login(stranger(t, "10.0.0.9"), "ada", pass); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	for range attemptsPerUser { // from as many addresses
		d.attempts.byUser.Allow("ada")
	}
	_, _, err = d.Login.Login(stranger(t, "10.1.0.1"), "ada", pass)
	testkit.WantReason(t, err, fault.LoginLimit)
	if _, _, err = d.Login.Login(stranger(t, "10.1.0.1"), "bob", pass); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("another user: %v", err)
	}
}

func TestWhosePasswordsAreHashedFirst(t *testing.T) {
	d := open(t)
	secret := d.person(t, "ada") // from 10.0.0.1
	if _, _, err := d.Login.Login(stranger(t, "10.0.0.7"), "ada", "wrong"); err == nil {
		t.Fatal("the wrong password is good")
	}
	if _, _, err := d.Login.Login(stranger(t, "2001:db8::1"), "ada", pass); err != nil {
		t.Fatal(err)
	}
	for i := range d.attempts.tries {
		d.attempts.tries[i] = limit.New(2, time.Hour) // both strangers can share a bucket
	}
	for _, c := range []struct {
		who  string
		ctx  context.Context
		want password.Rank
	}{
		{"where an invite was accepted", stranger(t, "10.0.0.1"), password.Known},
		{"an address of an earlier login", stranger(t, "2001:db8::2"), password.Known},
		{"with a session", d.As(t, secret), password.Known},
		{"on the machine", userstest.Socket(t), password.Known},
		{"where a login has failed", stranger(t, "10.0.0.7"), password.Stranger},
		{"from elsewhere", stranger(t, "2001:db8:0:1::2"), password.Stranger},
	} {
		if got := d.attempts.rank(access.Of(c.ctx)); got != c.want {
			t.Errorf("%s: rank %d, want %d", c.who, got, c.want)
		}
	}
	again := access.Of(stranger(t, "10.0.0.7"))
	d.attempts.rank(again)
	if got := d.attempts.rank(again); got != password.Insistent {
		t.Errorf("again and again from there: rank %d", got)
	}
}

// A flood from ever new addresses of a network comes after what comes from elsewhere.
func TestTheNeighborsOfAFloodComeLater(t *testing.T) {
	for name, addresses := range map[string][2]string{"IPv4": {"10.1.%d.%d", "10.9.%d.1"}, "IPv6": {"2001:db8:1:%x%02x::1", "2001:db8:9%x::1"}} {
		t.Run(name, func(t *testing.T) {
			a := newAttempts()
			rank := func(format string, args ...any) password.Rank {
				return a.rank(access.Of(stranger(t, fmt.Sprintf(format, args...))))
			}
			for i := range 256 {
				rank(addresses[0], i, i)
			}
			if got := rank(addresses[0], 7, 8); got != password.Insistent {
				t.Errorf("another one of the network: rank %d", got)
			}
			before := 0
			for i := range 5 { // one of them can share a bucket with the network
				if rank(addresses[1], i) == password.Stranger {
					before++
				}
			}
			if before < 4 {
				t.Errorf("only %d of 5 from elsewhere come before it", before)
			}
		})
	}
}

// Whoever tries many users from one address is refused before any work, and locks out
// none of them.
func TestFailuresAreLimitedByAddress(t *testing.T) {
	d := open(t)
	d.person(t, "ada")
	const failures = 3
	d.attempts.failures = limit.New(failures, time.Hour) // however long a hash takes here
	for i := range failures {
		if _, _, err := d.Login.Login(stranger(t, "10.0.0.7"), fmt.Sprint("user-", i), pass); !errors.Is(err, fault.Unauthenticated) {
			t.Fatal(err)
		}
	}
	before := d.passwords.Count()
	for range 2 * attemptsPerUser {
		_, _, err := d.Login.Login(stranger(t, "10.0.0.7"), "ada", pass)
		testkit.WantReason(t, err, fault.LoginLimit, "from this address")
		if after := fault.FromError(err).RetryAfter; after <= 0 || after > time.Hour/failures {
			t.Fatalf("again after %s", after)
		}
	}
	if n := d.passwords.Count() - before; n != 0 {
		t.Errorf("%d hashes were computed", n)
	}
	if _, _, err := d.Login.Login(stranger(t, "10.0.0.8"), "ada", pass); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
}

func TestInvitesThatAreNotGood(t *testing.T) {
	d := open(t)
	manager := d.Program(t, "manager", "write user *", "call service *")
	link := func(name string) string {
		return d.Create(t, &ruedov1.User{Name: name}, "call service greet").GetLink()
	}
	for name, c := range map[string]struct {
		prepare func(t *testing.T) string
		want    fault.Reason
		says    string
	}{
		"cut-off": {func(t *testing.T) string { l := userstest.InviteIn(t, link("cut-off")); return l[:len(l)-3] }, fault.TokenInvalid, "cut off"},
		"mistyped": {func(t *testing.T) string {
			return strings.Replace(userstest.InviteIn(t, link("mistyped")), "ruedo_i_", "ruedo_i_a", 1)[:53]
		}, fault.TokenInvalid, "this is not a valid invite"},
		"a-token": {func(t *testing.T) string { return d.Program(t, "a-token") }, fault.TokenInvalid, "another kind"},
		"foreign": {func(*testing.T) string { return token.New(token.Invite).Reveal() }, fault.Unauthenticated, "ask for another invite"},
		"another-secret": {func(t *testing.T) string {
			was, err := token.Parse(token.Invite, userstest.InviteIn(t, link("another-secret")))
			if err != nil {
				t.Fatal(err)
			}
			forged, err := token.Renew(token.Invite, was.ID())
			if err != nil {
				t.Fatal(err)
			}
			return forged.Reveal()
		}, fault.Unauthenticated, "the invite is not good"},
		"expired": {func(t *testing.T) string {
			_, invite, err := d.CreateUser(userstest.Socket(t), &ruedov1.User{Name: "expired"}, time.Nanosecond)
			if err != nil {
				t.Fatal(err)
			}
			return userstest.InviteIn(t, invite.GetLink())
		}, fault.Unauthenticated, "it has expired"},
		"replaced": {func(t *testing.T) string {
			first := userstest.InviteIn(t, link("replaced"))
			if _, err := d.CreateInvite(userstest.Socket(t), "replaced", 0); err != nil {
				t.Fatal(err)
			}
			return first
		}, fault.Unauthenticated, "another one has replaced it"},
		"disabled": {func(t *testing.T) string {
			l := userstest.InviteIn(t, link("disabled"))
			if _, err := d.UpdateUser(userstest.Socket(t), &ruedov1.User{Name: "disabled", Disabled: true}); err != nil {
				t.Fatal(err)
			}
			return l
		}, fault.Unauthenticated, "the invite is not good"},
		"deleted": {func(t *testing.T) string {
			l := userstest.InviteIn(t, link("deleted"))
			if err := d.DeleteUser(userstest.Socket(t), "deleted"); err != nil {
				t.Fatal(err)
			}
			link("deleted") // somebody else of the same name
			return l
		}, fault.Unauthenticated, "the invite is not good"},
		"ended": {func(t *testing.T) string {
			l := userstest.InviteIn(t, link("ended"))
			if err := d.EndTokens(userstest.Socket(t), "ended"); err != nil {
				t.Fatal(err)
			}
			return l
		}, fault.Unauthenticated, "the invite is not good"},
		// Who made it holds less than the user does by now.
		"promoted": {func(t *testing.T) string {
			_, invite, err := d.CreateUser(d.As(t, manager), &ruedov1.User{Name: "promoted", Grants: []string{"call service greet"}}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.UpdateUser(userstest.Socket(t), &ruedov1.User{Name: "promoted", Roles: []string{"admin"}}); err != nil {
				t.Fatal(err)
			}
			return userstest.InviteIn(t, invite.GetLink())
		}, fault.Unauthenticated, "the invite is not good"},
	} {
		t.Run(name, func(t *testing.T) {
			_, secret, err := d.AcceptInvite(stranger(t, "10.0.0.1"), c.prepare(t), pass)
			testkit.WantReason(t, err, c.want, c.says)
			if secret.Reveal() != "" {
				t.Error("it has made a session")
			}
			if u, _, err := d.User(userstest.Socket(t), name); err == nil && u.GetHasPassword() {
				t.Error("it has set a password")
			}
		})
	}
}

// An invite is used once, however many use it at the same time.
func TestAnInviteIsUsedOnce(t *testing.T) {
	d := open(t)
	invite := userstest.InviteIn(t, d.Create(t, &ruedov1.User{Name: "ada"}).GetLink())
	d.Meanwhile = func() {
		if _, _, err := d.AcceptInvite(stranger(t, "10.0.0.1"), invite, pass); err != nil {
			t.Error(err)
		}
	}
	_, _, err := d.AcceptInvite(stranger(t, "10.0.0.2"), invite, "of the other one")
	testkit.WantReason(t, err, fault.TokenUsed)
	if _, _, err := d.Login.Login(stranger(t, "10.0.0.1"), "ada", pass); err != nil {
		t.Errorf("whoever came first: %v", err)
	}
}

// A weak password does not use up an invite.
func TestWeakPasswords(t *testing.T) {
	d := open(t)
	link := d.Create(t, &ruedov1.User{Name: "ada-lovelace"}, "call service *").GetLink()
	for weak, says := range map[string]string{"short": "5 characters", "aaaaaaaaaaaaaaa": "one character", "ada-lovelace": "name of the user"} {
		_, _, err := d.AcceptInvite(stranger(t, "10.0.0.1"), userstest.InviteIn(t, link), weak)
		testkit.WantReason(t, err, fault.PasswordWeak, says)
	}
	session := d.accept(t, link)
	_, _, err := d.ChangePassword(d.As(t, session), pass, "short")
	testkit.WantReason(t, err, fault.PasswordWeak)
	d.Good(t, true, session)
}

func TestAPasswordChangeEndsWhatWasGood(t *testing.T) {
	d := open(t)
	session := d.person(t, "ada", "call service *")
	_, other, err := d.Login.Login(stranger(t, "10.0.0.2"), "ada", pass)
	if err != nil {
		t.Fatal(err)
	}
	tok := d.Secret(t, &ruedov1.CreateTokenRequest{User: "ada", Lifetime: durationpb.New(time.Hour)})
	bystander := d.person(t, "bob")

	_, _, err = d.ChangePassword(d.As(t, session), "wrong", "another "+pass)
	testkit.WantReason(t, err, fault.Unauthenticated)
	var late string // a token that is made at the same time
	d.Meanwhile = func() { late = d.Secret(t, &ruedov1.CreateTokenRequest{User: "ada"}) }
	_, next, err := d.ChangePassword(d.As(t, session), pass, "another "+pass)
	if err != nil {
		t.Fatal(err)
	}
	d.Good(t, false, session, other.Reveal(), tok, late)
	d.Good(t, true, next.Reveal(), bystander)
	if _, _, err := d.Login.Login(stranger(t, "10.0.0.2"), "ada", pass); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("the old password: %v", err)
	}
	if _, _, err := d.Login.Login(stranger(t, "10.0.0.2"), "ada", "another "+pass); err != nil {
		t.Errorf("the new password: %v", err)
	}

	// A new invite does the same, for who has forgotten it.
	invite, err := d.CreateInvite(userstest.Socket(t), "ada", 0)
	if err != nil {
		t.Fatal(err)
	}
	d.Good(t, true, next.Reveal())
	last := d.accept(t, invite.GetLink())
	d.Good(t, false, next.Reveal())
	d.Good(t, true, last)

	for who, ctx := range map[string]context.Context{"local/root": userstest.Socket(t), "user/ci": d.As(t, d.Program(t, "ci"))} {
		_, _, err := d.ChangePassword(ctx, pass, pass+pass)
		testkit.WantReason(t, err, fault.RequestInvalid, who+" has no password")
	}
}

func TestOneUserHasFewSessions(t *testing.T) {
	d := open(t)
	first := d.person(t, "ada")
	tok := d.Secret(t, &ruedov1.CreateTokenRequest{User: "ada"})
	logIn := func() string {
		t.Helper()
		s := token.New(token.Bearer)
		_, _, err := d.session(as(t.Context(), "ada", s.ID()), "ada", s, func(_ holdings.View, b *principals.Batch) error {
			b.Change = chain.Change{Action: "login", Noun: "user", Name: "ada"}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return s.Reveal()
	}
	for range maxSessions - 1 {
		logIn()
	}
	d.Good(t, true, first)
	last := logIn()
	all, err := d.Tokens(userstest.Socket(t), "ada")
	if err != nil || len(all) != maxSessions+1 {
		t.Errorf("%d tokens, %v", len(all), err)
	}
	d.Good(t, false, first)
	d.Good(t, true, last, tok) // tokens are not sessions
}

func TestCan(t *testing.T) {
	d := open(t)
	d.Create(t, &ruedov1.User{Name: "ci", Machine: true}, "* service team-a-*", "read user *")
	narrow := d.As(t, d.Secret(t, &ruedov1.CreateTokenRequest{User: "ci", Grants: []string{"call service *"}}))
	wide := d.As(t, d.Secret(t, &ruedov1.CreateTokenRequest{User: "ci"}))
	for _, c := range []struct {
		ctx  context.Context
		what string
		want bool
	}{
		{wide, "write service team-a-greet", true}, {wide, "write service team-b-greet", false}, {wide, "* service team-a-*", true}, {wide, "read user *", true},
		{narrow, "call service team-a-greet", true}, {narrow, "write service team-a-greet", false}, {narrow, "call service *", false},
	} {
		if got, err := d.Can(c.ctx, c.what); got != c.want || err != nil {
			t.Errorf("%s: %t, %v", c.what, got, err)
		}
	}
	_, err := d.Can(wide, "fly service greet")
	testkit.WantReason(t, err, fault.GrantInvalid)
	me, err := d.WhoAmI(narrow)
	if err != nil || strings.Join(me.GetGrants(), ",") != "call service team-a-*" {
		t.Errorf("%v, %v", me, err)
	}
	if _, err := d.WhoAmI(context.Background()); !errors.Is(err, fault.PermissionDenied) {
		t.Errorf("nobody: %v", err)
	}
}
