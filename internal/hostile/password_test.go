//go:build hostile

package hostile

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// loginRow is row 29 for passwords and invites.
func loginRow() *row {
	const login, accept, hello = ruedov1connect.LoginServiceLoginProcedure, ruedov1connect.LoginServiceAcceptInviteProcedure, ruedov1connect.LoginServiceHelloProcedure
	const password, wrong = "correct horse battery staple", "correct horse battery stapler"
	var person, machine, disabled, session, invite, used string
	ask := func(procedure, body string) request {
		return request{http.MethodPost, procedure, http.Header{"Content-Type": {"application/json"}}, []byte(body)}
	}
	try := func(user, password string) request {
		return ask(login, fmt.Sprintf(`{"user":%q,"password":%q}`, user, password))
	}
	// invited creates somebody with an invite.
	invited := func(b *bout, suffix string) (name, invite string) {
		name = fmt.Sprintf("%s-%d", b.service(suffix), b.serial.Add(1))
		made, err := b.client.Users.CreateUser(b.ctx, &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: name, Grants: []string{"call service " + victimName}}})
		if err != nil {
			b.Errorf("%v", err)
			return name, ""
		}
		link, err := token.ParseLink(token.Invite, made.GetInvite().GetLink())
		if err != nil {
			b.Errorf("%v", err)
			return name, ""
		}
		return name, link.Token.Reveal()
	}
	accepts := func(b *bout, invite string) (session string) {
		res, err := b.client.Login.AcceptInvite(b.ctx, &ruedov1.AcceptInviteRequest{Invite: invite, Password: password})
		if err != nil {
			b.Errorf("%v", err)
		}
		return res.GetSecret()
	}
	return &row{
		number: 29, name: "passwords and invites that are guessed", once: true,
		setup: func(b *bout) {
			person, used = invited(b, "person")
			session = accepts(b, used)
			var link string
			disabled, link = invited(b, "away")
			accepts(b, link)
			b.must(b.client.Users.UpdateUser(b.ctx, &ruedov1.UpdateUserRequest{User: &ruedov1.User{Name: disabled, Disabled: true}}))
			machine, _ = b.principal("program", "call service "+victimName)
			_, invite = invited(b, "later")
		},
		moves: []move{
			{"a user and nobody", func(b *bout) {
				b.refusal(fault.LoginLimit)
				nobody := fmt.Sprintf("%s-%d", b.service("nobody"), b.serial.Add(1))
				var first response
				took := make([][]time.Duration, 2)
				began := time.Now()
				for i := range loginsOf {
					for k, user := range []string{person, nobody} {
						asked := time.Now()
						got, err := b.once(false, try(user, wrong))
						took[k] = append(took[k], time.Since(asked))
						if i+k == 0 {
							first = got
						}
						if err != nil || got.status != http.StatusUnauthorized || !got.same(first) {
							b.Errorf("%s: %s, %v; before %s", user, got, err, first)
						}
					}
				}
				b.alike("a wrong password, and a user who does not exist", 5*time.Millisecond, took...)
				if slices.Max(took[0]) < 5*time.Millisecond {
					b.Errorf("a password costs %s, that is no hash", took[0])
				}
				for _, user := range []string{person, nobody} {
					for allowed := loginsOf; ; allowed++ {
						got, err := b.once(false, try(user, wrong))
						if err == nil && got.status == http.StatusTooManyRequests && strings.Contains(got.body, "LOGIN_LIMIT") {
							break
						}
						// The limit lets one more pass every 2 s.
						if most := loginsOf + int(time.Since(began)/(2*time.Second)) + 1; err != nil || allowed > most {
							b.Errorf("%s, once more: %s, %v", user, got, err)
							break
						}
					}
				}
				for user, pass := range map[string]string{machine: password, disabled: password, "": password, strings.ToUpper(person): password, person + " ": password} {
					if got, err := b.once(false, try(user, pass)); err != nil || !got.same(first) {
						b.Errorf("%q: %s, %v; others get %s", user, got, err, first)
					}
				}
				// Whoever has logged in goes on.
				if got, err := b.once(false, request{http.MethodPost, "/call/" + victimName, bearing(session), []byte("{}")}); err != nil || got.status != http.StatusOK {
					b.Errorf("a session: %s, %v", got, err)
				}
			}},
			{"from one address", func(b *bout) {
				p := b.stranger(false)
				defer p.close()
				user := fmt.Sprintf("%s-%d", b.service("other"), b.serial.Add(1))
				for i := range loginsFrom + 3 {
					want := fault.Unauthenticated
					if i >= loginsFrom {
						want = fault.LoginLimit
					}
					if err := b.asks(p, http.MethodPost, login, http.Header{"Content-Type": {"application/json"}}, string(try(user, wrong).body)); !reasonIs(err, want) {
						b.Errorf("attempt %d: %v, want %s", i+1, err, want)
					}
				}
			}},
			{"as many users, from one address", func(b *bout) {
				p := b.stranger(false)
				defer p.close()
				for i := range failuresFrom + 3 {
					want := fault.Unauthenticated
					if i >= failuresFrom {
						want = fault.LoginLimit
					}
					user := fmt.Sprintf("%s-%d", b.service("many"), b.serial.Add(1))
					if err := b.asks(p, http.MethodPost, login, http.Header{"Content-Type": {"application/json"}}, string(try(user, wrong).body)); !reasonIs(err, want) {
						b.Errorf("attempt %d: %v, want %s", i+1, err, want)
					}
				}
			}},
			{"invites", func(b *bout) {
				var first response
				unknown := token.New(token.Invite)
				t, err := token.Parse(token.Invite, invite)
				b.must(t, err)
				other, err := token.Renew(token.Invite, t.ID())
				b.must(other, err)
				for i, text := range []string{unknown.Reveal(), other.Reveal()} {
					got, err := b.once(false, ask(accept, fmt.Sprintf(`{"invite":%q,"password":%q}`, text, password)))
					if i == 0 {
						first = got
					}
					if err != nil || got.status != http.StatusUnauthorized || !got.same(first) {
						b.Errorf("%s, %v; before %s", got, err, first)
					}
				}
				for text, want := range map[string]string{used: "TOKEN_USED", invite[:len(invite)-1]: "TOKEN_INVALID", session: "TOKEN_INVALID"} {
					if got, err := b.once(false, ask(accept, fmt.Sprintf(`{"invite":%q,"password":%q}`, text, password))); err != nil || !strings.Contains(got.body, want) {
						b.Errorf("%s, %v; want %s", got, err, want)
					}
				}
				if got, err := b.once(false, ask(accept, fmt.Sprintf(`{"invite":%q,"password":%q}`, invite, password))); err != nil || got.status != http.StatusOK {
					b.Errorf("the invite itself: %s, %v", got, err)
				}
			}},
			{"1,000 greetings a second", func(b *bout) {
				const n, rate = 1000, 1000
				from := net.IPv4(127, 99, 0, byte(b.serial.Add(1)))
				g := flood(n, rate, 16, func() *peer { return b.from(from, false) }, func(p *peer, _ int) error {
					return b.asks(p, http.MethodPost, hello, http.Header{"Content-Type": {"application/json"}}, "{}")
				})
				b.mostly("Hello", g, n, rate, openRequests*(int(g.took.Seconds()+1)+1), "none")
			}},
			{"in the audit and in the logs", func(b *bout) {
				records := b.audited(0, func(list []*ruedov1.AuditRecord) bool {
					return times(list, func(r *ruedov1.AuditRecord) bool {
						return r.GetAction() == "login" && r.GetName() == person && r.GetReason() == string(fault.Unauthenticated)
					}) >= loginsOf
				})
				b.hides(wrong, records)
				b.hides(password, records)
				b.hides(session[20:40], records)
			}},
		},
		peakCore: 160 << 20, children: 1,
	}
}

// passwordFloodRow is row 29: more passwords than a core can hash.
func passwordFloodRow() *row {
	const n, rate = 1000, 500
	return &row{
		number: 29, name: "500 logins a second, of as many users", once: true,
		moves: []move{{"passwords", func(b *bout) {
			g := flood(n, rate, 64, func() *peer { return b.stranger(false) }, func(_ *peer, i int) error {
				p := b.stranger(false)
				defer p.close()
				return b.asks(p, http.MethodPost, ruedov1connect.LoginServiceLoginProcedure, http.Header{"Content-Type": {"application/json"}},
					fmt.Sprintf(`{"user":"nobody-%d","password":"correct horse battery"}`, i))
			})
			b.mostly("passwords", g, n, rate, n/2, fault.Unauthenticated)
		}}},
		peakCore: 200 << 20, children: 1,
	}
}
