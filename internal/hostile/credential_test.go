//go:build hostile

package hostile

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// credential is what a request shows, or hides, that is no good.
type credential struct {
	name   string
	header http.Header
	query  string
}

// shown is a credential in the place where a token belongs.
func shown(name, text string) credential {
	return credential{name: name, header: http.Header{"Authorization": {text}}}
}

// principal creates a program and returns its name and a token of it.
func (b *bout) principal(suffix string, grants ...string) (name string, made *ruedov1.CreateTokenResponse) {
	name = fmt.Sprintf("%s-%d", b.service(suffix), b.serial.Add(1))
	made, err := b.program(b.ctx, name, grants...)
	if err != nil {
		b.Errorf("%s: %v", name, err)
		return name, &ruedov1.CreateTokenResponse{Token: &ruedov1.Token{}}
	}
	return name, made
}

// must reports an error of what has to succeed.
func (b *bout) must(_ any, err error) {
	if err != nil {
		b.Errorf("%v", err)
	}
}

// spent returns a good token of somebody who may do everything, and what was one, looks
// like one, or is one in another place.
func (b *bout) spent() (good string, list []credential) {
	bad := func(name, token string) { list = append(list, shown(name, "Bearer "+token)) }
	name, made := b.principal("admin", "* * *")
	good = made.GetSecret()
	id := made.GetToken().GetId()
	more := func() *ruedov1.CreateTokenResponse {
		res, err := b.client.Tokens.CreateToken(b.ctx, &ruedov1.CreateTokenRequest{User: name})
		b.must(res, err)
		return res
	}

	bad("a token that never was", token.New(token.Bearer).Reveal())
	other, err := token.Renew(token.Bearer, id)
	b.must(other, err)
	bad("the id of a token with another secret", other.Reveal())
	revoked := more()
	b.must(b.client.Tokens.DeleteToken(b.ctx, &ruedov1.DeleteTokenRequest{Id: revoked.GetToken().GetId()}))
	bad("a revoked token", revoked.GetSecret())
	rotated := more()
	b.must(b.client.Tokens.RotateToken(b.ctx, &ruedov1.RotateTokenRequest{Id: rotated.GetToken().GetId(), Grace: durationpb.New(time.Millisecond)}))
	bad("a token after its grace", rotated.GetSecret())
	expired, err := b.client.Tokens.RotateToken(b.ctx, &ruedov1.RotateTokenRequest{Id: more().GetToken().GetId(), Lifetime: durationpb.New(time.Second)})
	b.must(expired, err)
	bad("an expired token", expired.GetSecret())
	disabled, its := b.principal("disabled", "* * *")
	b.must(b.client.Users.UpdateUser(b.ctx, &ruedov1.UpdateUserRequest{User: &ruedov1.User{Name: disabled, Machine: true, Disabled: true, Grants: []string{"* * *"}}}))
	bad("a token of a user who is disabled", its.GetSecret())
	deleted, its := b.principal("deleted", "* * *")
	b.must(b.client.Users.DeleteUser(b.ctx, &ruedov1.DeleteUserRequest{Name: deleted}))
	bad("a token of a user who is gone", its.GetSecret())
	ended, its := b.principal("ended", "* * *")
	b.must(b.client.Tokens.EndTokens(b.ctx, &ruedov1.EndTokensRequest{User: ended}))
	bad("a token that ended with all others", its.GetSecret())

	last := good[len(good)-1]
	bad("a mistyped token", good[:len(good)-1]+string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", last)+1)%16]))
	bad("a token that is cut off", good[:len(good)-1])
	bad("a token that is too long", good+"0")
	bad("a token in capitals", strings.ToUpper(good))
	bad("an invite", token.New(token.Invite).Reveal())
	bad("what a core of another cluster signed", token.SignCore([]byte("another key"), "core-1", time.Now()))
	bad("what a core without a key signed", token.SignCore(nil, "core-1", time.Now()))
	bad("nothing", "")
	bad("garbage", "garbage")
	bad("60 KB", strings.Repeat("x", 60<<10))
	bad("60 KB behind a token", good+strings.Repeat("0", 60<<10))
	bad("no text", "\xff\xfe\x80")
	bad("half of a token", "ruedo_t_")

	basic := base64.StdEncoding.EncodeToString([]byte(name + ":" + good))
	for _, text := range []string{good, "Token " + good, "Basic " + basic, "Digest " + good, "Bearer" + good, "Bearer \"" + good + "\"", "Bearer " + good + ", Bearer " + good, ""} {
		list = append(list, shown(fmt.Sprintf("Authorization: %.6s...", text), text))
	}
	list = append(list, credential{name: "a token twice", header: http.Header{"Authorization": {"Bearer " + good, "Bearer " + good}}})
	for _, field := range []string{"Cookie: token=", "Cookie: session=", "Proxy-Authorization: Bearer ", "X-Api-Key: ", "X-Auth-Token: ", "Ruedo-Token: "} {
		key, before, _ := strings.Cut(field, ": ")
		list = append(list, credential{name: key, header: http.Header{key: {before + good}}})
	}
	for _, query := range []string{"access_token", "token", "authorization"} {
		list = append(list, credential{name: query, query: "?" + query + "=" + good})
	}
	// Who says something of itself.
	for key, text := range map[string]string{
		"X-Forwarded-User": name, "X-Remote-User": name, "Ruedo-Caller": "user/" + name, "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-Ip": "127.0.0.1",
		"Ruedo-Via": "socket", "X-Forwarded-Client-Cert": "Subject=\"CN=" + name + "\"",
	} {
		list = append(list, credential{name: key, header: http.Header{key: {text}}})
	}
	late := request{http.MethodGet, "/metrics", bearing(expired.GetSecret()), nil}
	if !testkit.Poll(10*time.Second, func() bool {
		got, err := b.once(false, late)
		return err == nil && got.status == http.StatusUnauthorized
	}) {
		b.Errorf("a token does not expire")
	}
	return good, list
}

// routes are those of plain HTTP that need a credential.
var routes = []string{
	"POST /call/" + victimName, "GET /call/" + victimName, "PUT /call/" + victimName, "POST /call/" + victimName + "@1", "POST /call/no-such-service", "POST /call/a/b",
	"GET /svc/" + victimName + "/", "GET /svc/no-such-service/", "GET /svc/" + victimName, "GET /no/such/path", "GET /metrics", "POST /ruedo.v1.NoService/Nothing", "GET /debug/pprof/",
}

// uniform checks that each of these credentials gets exactly the answer that none gets,
// from every procedure, in every protocol, and at every route.
func (b *bout) uniform(list []credential) {
	text := access.Unauthenticated().Error()
	b.refusal(fault.Unauthenticated)
	ask := func(http2 bool, r request, c credential) response {
		r.path += c.query
		h := r.header.Clone()
		if h == nil {
			h = http.Header{}
		}
		copyHeader(h, c.header)
		r.header = h
		got, err := b.once(http2, r)
		if err != nil {
			b.Errorf("%s with %s: %v", r.path, c.name, err)
		}
		return got
	}
	compare := func(what string, http2 bool, r request, list []credential) {
		first := ask(http2, r, credential{name: "nothing"})
		if !strings.Contains(first.everything(), text) {
			b.Errorf("%s with nothing: %s", what, first)
			return
		}
		for _, c := range list {
			if got := ask(http2, r, c); !got.same(first) {
				b.Errorf("%s with %s: %s, and with nothing %s", what, c.name, got, first)
			}
		}
	}
	asked := 0
	for _, p := range b.mustProcedures() {
		if p.rule().GetOpen() || strings.HasPrefix(p.path, "/grpc.health.") {
			continue
		}
		asked++
		for _, s := range speeches(false) {
			some := list
			if s.protocol != "connect" || s.codec != "json" {
				some = list[asked%len(list):][:1] // one each: who a request is of does not depend on it
			}
			compare(p.path+" by "+s.String(), s.protocol == "grpc" || p.stream == connect.StreamTypeBidi, p.request(s, empty(s)), some)
		}
	}
	if asked < 70 {
		b.Errorf("only %d procedures were asked", asked)
	}
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		compare(route, false, request{method, path, http.Header{}, nil}, list)
	}
	b.note("%d procedures and %d routes, %d credentials", asked, len(routes), len(list))
}

// empty returns a message without fields.
func empty(s speech) []byte {
	if s.codec == "json" {
		return []byte("{}")
	}
	return nil
}

// credentialRow is row 29.
func credentialRow() *row {
	var good string
	var list []credential
	return &row{
		number: 29, name: "no credential, and credentials that are no good", once: true,
		setup: func(b *bout) { good, list = b.spent() },
		moves: []move{
			{"at every procedure and route", func(b *bout) { b.uniform(list) }},
			{"in the audit and in the logs", func(b *bout) {
				records := b.audited(0, func(list []*ruedov1.AuditRecord) bool {
					return slices.ContainsFunc(list, func(r *ruedov1.AuditRecord) bool {
						return r.GetAction() == "authenticate" && r.GetReason() == string(fault.Unauthenticated)
					})
				})
				for _, c := range list {
					_, text, found := strings.Cut(c.header.Get("Authorization"), "Bearer ruedo_t_")
					if _, secret, ok := strings.Cut(text, "_"); found && ok {
						b.hides(secret[:20], records)
					}
				}
			}},
			{"a good one", func(b *bout) {
				if got, err := b.once(false, request{http.MethodGet, "/metrics", bearing(good), nil}); err != nil || got.status != http.StatusOK {
					b.Errorf("%s, %v", got, err)
				}
			}},
		},
		peakCore: 128 << 20,
	}
}
