package core_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Nobody without a credential can do anything but say hello, and all that is no good
// credential gets the same answer, at every procedure and at every route. Both secrets
// of a token are good within the grace of its rotation.
func TestWithoutAGoodToken(t *testing.T) {
	tcp, tls, socket := allWays(t)
	tcp.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo"}, ruedotest.Echo())
	tcp.Publish(t, &ruedov1.PublishServiceRequest{Name: "page", Routes: []*ruedov1.Route{{Path: "/shop/"}}}, page())
	tokens := tcp.Client.Tokens
	made := tokenOf
	machine(t, tcp.Client, "ada", "* * *")
	revoked, rotated, expired, old := made(t, tcp.Client, "ada"), made(t, tcp.Client, "ada"), made(t, tcp.Client, "ada"), made(t, tcp.Client, "ada")
	rotate := func(id string, grace, lifetime time.Duration) (secret string) {
		t.Helper()
		req := &ruedov1.RotateTokenRequest{Id: id, Grace: durationpb.New(grace)}
		if lifetime > 0 {
			req.Lifetime = durationpb.New(lifetime)
		}
		res, err := tokens.RotateToken(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return res.GetSecret()
	}
	if _, err := tokens.DeleteToken(t.Context(), &ruedov1.DeleteTokenRequest{Id: revoked.GetToken().GetId()}); err != nil {
		t.Fatal(err)
	}
	rotate(rotated.GetToken().GetId(), time.Millisecond, 0)
	short := rotate(expired.GetToken().GetId(), 0, time.Second)
	now := rotate(old.GetToken().GetId(), time.Hour, 0)
	bad := map[string]string{
		"nothing": "", "garbage": "garbage", "a revoked token": revoked.GetSecret(), "a token after its grace": rotated.GetSecret(),
		"a token of another cluster": token.New(token.Bearer).Reveal(), "an expired token": short,
	}
	good := map[string]string{"a token": now, "a token within its grace": old.GetSecret()}
	for _, d := range []*door{tcp, tls} {
		d.knows(t, now)
		testkit.Eventually(t, "the token has expired", func() bool {
			return d.ask(t, "GET", "/metrics", "", short, "").status == http.StatusUnauthorized
		})
		t.Run(d.way, func(t *testing.T) {
			d.refuses(t, bad)
			d.accepts(t, good)
		})
	}
	// There, the system says who it is: what is shown means nothing, good or bad.
	t.Run(socket.way, func(t *testing.T) {
		socket.accepts(t, bad)
		socket.accepts(t, good)
		whoami, err := socket.Client.Login.WhoAmI(t.Context(), &ruedov1.WhoAmIRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for what, token := range good {
			if got := socket.ask(t, "POST", ruedov1connect.LoginServiceWhoAmIProcedure, "application/json", token, "{}"); !strings.Contains(got.body, `"`+whoami.GetPrincipal()+`"`) {
				t.Errorf("%s makes it somebody else than %s: %+v", what, whoami.GetPrincipal(), got)
			}
		}
	})
}

// routes are those that are not open, besides procedures.
var routes = []string{
	"POST /call/echo", "GET /call/echo", "PUT /call/echo", "POST /call/nothing", "POST /call/a/b", "GET /svc/page/", "GET /svc/nothing/", "GET /svc/page", "GET /shop/",
	"GET /nothing", "GET /metrics", "POST /ruedo.v1.NoService/Nothing", "POST /grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
}

// refuses checks that all that is shown gets the answer to nothing, which is no.
func (d *door) refuses(t *testing.T, shown map[string]string) {
	t.Helper()
	text := access.Unauthenticated().Error()
	open, asked := []string{}, 0
	for _, m := range methods() {
		if ruleOf(m).GetOpen() {
			open = append(open, string(m.Name()))
			continue
		}
		asked++
		first := d.call(t, m, "", "{}")
		if unary := !m.IsStreamingClient() && !m.IsStreamingServer(); unary && first.status != http.StatusUnauthorized || !strings.Contains(first.body, text) {
			t.Errorf("%s: %+v", m.FullName(), first)
		}
		for what, token := range shown {
			if got := d.call(t, m, token, "{}"); got != first {
				t.Errorf("%s with %s: %+v, and with nothing %+v", m.FullName(), what, got, first)
			}
		}
	}
	if want := []string{"AcceptInvite", "Hello", "Login"}; !slices.Equal(open, want) || asked < 70 {
		t.Errorf("open are %q, %d others are asked", open, asked)
	}
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		for what, token := range shown {
			if got := d.ask(t, method, path, "", token, ""); got.status != http.StatusUnauthorized || !strings.Contains(got.body, text) {
				t.Errorf("%s with %s: %+v", route, what, got)
			}
		}
	}
	for _, probe := range []string{"/livez", "/healthz", "/readyz", "/leader-check/300"} {
		for what, token := range shown {
			if got := d.ask(t, "GET", probe, "", token, ""); got.status == http.StatusUnauthorized {
				t.Errorf("%s with %s: %+v", probe, what, got)
			}
		}
	}
}

// accepts checks that all that is shown is good. What is sent cannot be read, so that
// nothing is done.
func (d *door) accepts(t *testing.T, shown map[string]string) {
	t.Helper()
	text := access.Unauthenticated().Error()
	for what, token := range shown {
		for _, m := range methods() {
			if got := d.call(t, m, token, "{"); got.status == http.StatusUnauthorized || strings.Contains(got.body, text) {
				t.Errorf("%s with %s: %+v", m.FullName(), what, got)
			}
		}
		for _, route := range routes {
			method, path, _ := strings.Cut(route, " ")
			if got := d.ask(t, method, path, "", token, "{}"); got.status == http.StatusUnauthorized {
				t.Errorf("%s with %s: %+v", route, what, got)
			}
		}
		for _, call := range []string{"POST /call/echo", "GET /svc/page/", "GET /shop/"} {
			method, path, _ := strings.Cut(call, " ")
			if got := d.ask(t, method, path, "", token, "{}"); got.status != http.StatusOK {
				t.Errorf("%s with %s: %+v", call, what, got)
			}
		}
	}
}

// To a team, what belongs to another one does not exist, whatever it asks, and
// whichever way.
func TestOtherTeamsDoNotExist(t *testing.T) {
	d, tls, _ := allWays(t) // whoever comes by the socket sees everything
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, team := range []string{"team-a-", "team-b-"} {
		must(d.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: team + "d"}}))
		must(d.Client.Roles.CreateRole(t.Context(), &ruedov1.CreateRoleRequest{Role: &ruedov1.Role{Name: team + "r"}}))
		machine(t, d.Client, team+"u")
	}
	must(d.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: "shared"}}))
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "team-a-x", Decorators: []string{"team-a-d"}}, ruedotest.Echo())
	d.Publish(t, &ruedov1.PublishServiceRequest{
		Name: "team-b-x", Decorators: []string{"team-b-d", "team-a-d", "shared"}, Example: []byte(`{"n":1}`),
	}, ruedotest.Echo())
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "team-b-p", Routes: []*ruedov1.Route{{Path: "/b/"}, {Host: "b.example.com", Path: "/"}}}, page())
	ada := machine(t, d.Client, "ada", "* service team-a-*", "* decorator team-a-*", "* decorator shared", "* user team-a-*", "* role team-a-*",
		"* runner team-a-*", "* cluster test")
	for _, d := range []*door{d, tls} {
		d.knows(t, ada)
		t.Run(d.way, func(t *testing.T) { d.hidesTeamB(t, ada) })
	}
	// Whoever has a module can publish it, although another team has it as well.
	own := client.New(d.URL, client.WithToken(client.StaticToken(ada)))
	digest, err := own.Upload(t.Context(), page(), nil)
	must(digest, err)
	must(own.Services.PublishService(t.Context(), &ruedov1.PublishServiceRequest{Name: "team-a-p", Module: digest}))
}

// oddNames are the ends of names that nothing can have.
var oddNames = []string{"ENTIRELY-UPPERCASE", "\"quoted words\" & <tags>", "überall-ü", "other/../something", "something\n\x00\t", "something@1", strings.Repeat("very-", 20) + "long"}

// hidesTeamB asks for everything that has a name of another team.
func (d *door) hidesTeamB(t *testing.T, ada string) {
	t.Helper()
	for _, service := range []string{"team-a-x", "team-b-x"} { // both have logs, counts and events
		if _, err := d.Client.Call(t.Context(), service, []byte(`{"n":1}`), client.WithLogs()); err != nil {
			t.Fatal(err)
		}
	}

	// Every procedure that is about a name: one that exists, and one that does not.
	nouns := map[access.Noun]string{access.Service: "x", access.Decorator: "d", access.User: "u", access.Role: "r", access.Runner: "e"}
	named, missing := 0, 0
	for _, m := range methods() {
		rule := ruleOf(m)
		if rule.GetName() == "" {
			continue
		}
		named++
		own := nouns[rule.GetNoun()]
		ask := func(name string) answer { return d.call(t, m, ada, requestFor(t, m, name)) }
		there, gone := ask("team-b-"+own), ask("team-b-z")
		gone.body = strings.ReplaceAll(gone.body, "team-b-z", "team-b-"+own)
		if there != gone {
			t.Errorf("%s reveals whether a name exists:\n%+v\n%+v", m.FullName(), there, gone)
		}
		if rule.GetCreates() {
			if there.status != http.StatusForbidden {
				t.Errorf("%s makes what is invisible: %+v", m.FullName(), there)
			}
			continue
		}
		// Nothing can have an odd name, and some procedures say so of one's own.
		checked := rule.GetNoun() == access.Service || rule.GetNoun() == access.Decorator || strings.HasPrefix(string(m.Name()), "Update")
		for _, odd := range oddNames {
			there, mine := ask("team-b-"+odd), ask("team-a-"+odd)
			mine.body = strings.ReplaceAll(mine.body, "team-a-", "team-b-")
			if there.status != http.StatusNotFound || mine != there && !(checked && mine.status == http.StatusBadRequest) {
				t.Errorf("%s tells whose an odd name is:\n%+v\n%+v", m.FullName(), there, mine)
			}
		}
		if rule.GetNoun() == access.Role { // some are built in
			there, gone := ask("viewer"), ask("viewed")
			gone.body = strings.ReplaceAll(gone.body, "viewed", "viewer")
			if there != gone || there.status != http.StatusNotFound {
				t.Errorf("%s reveals a role that is built in:\n%+v\n%+v", m.FullName(), there, gone)
			}
		}
		mine := ask("team-a-z")
		mine.body = strings.ReplaceAll(mine.body, "team-a-z", "team-b-"+own)
		if mine.status == http.StatusNotFound {
			missing++ // others miss something before they look
		}
		if there.status != http.StatusNotFound || mine.status == http.StatusNotFound && mine != there {
			t.Errorf("%s tells what is invisible from what is missing:\n%+v\n%+v", m.FullName(), there, mine)
		}
	}
	if named < 20 || missing < 14 {
		t.Errorf("only %d procedures are about a name, and only %d miss it", named, missing)
	}

	// A module is there for those who have a service with it.
	stat := func(module []byte) answer {
		digest := client.Digest(module)
		a := d.ask(t, "POST", ruedov1connect.ModuleServiceStatModuleProcedure, "application/json", ada, `{"digest":"`+digest+`"}`)
		a.body = strings.ReplaceAll(a.body, digest, "DIGEST")
		return a
	}
	if theirs, none := stat(page()), stat([]byte("nothing")); theirs != none || theirs.status != http.StatusNotFound {
		t.Errorf("a module of another team, and one that is not stored:\n%+v\n%+v", theirs, none)
	}
	if ours := stat(ruedotest.Echo()); ours.status != http.StatusOK {
		t.Errorf("a module of both teams: %+v", ours)
	}

	// The ways to a call.
	for _, route := range []string{"POST /call/%s", "GET /call/%s", "GET /svc/%s/", "POST /call/%s@1", "GET /svc/%s"} {
		method, path, _ := strings.Cut(route, " ")
		ask := func(name string) answer { return d.ask(t, method, fmt.Sprintf(path, name), "", ada, "{}") }
		there, gone, mine := ask("team-b-x"), ask("team-b-z"), ask("team-a-z")
		gone.body, mine.body = strings.ReplaceAll(gone.body, "team-b-z", "team-b-x"), strings.ReplaceAll(mine.body, "team-a-z", "team-b-x")
		if there != gone || there != mine || there.status != http.StatusNotFound || !strings.Contains(there.body, "SERVICE_NOT_FOUND") {
			t.Errorf("%s:\n%+v\n%+v\n%+v", route, there, gone, mine)
		}
	}
	invoke := func(name string) answer {
		a := d.ask(t, "POST", ruedov1connect.InvokeServiceInvokeProcedure, "application/json", ada, `{"service":"`+name+`","input":1,"revision":1}`)
		a.body = strings.ReplaceAll(a.body, name, "NAME")
		return a
	}
	if there := invoke("team-b-x"); there != invoke("team-b-z") || there != invoke("team-a-z") || there.status != http.StatusNotFound {
		t.Errorf("Invoke: %+v", there)
	}
	at := func(path string) answer {
		a := d.ask(t, "GET", path, "", ada, "")
		a.body = strings.ReplaceAll(a.body, path, "PATH")
		return a
	}
	if there, gone := at("/b/"), at("/c/"); there != gone || there.status != http.StatusNotFound {
		t.Errorf("a route:\n%+v\n%+v", there, gone)
	}

	// Everything else that the team can read, or is told.
	lists := map[string]answer{
		"a mistyped name": d.ask(t, "POST", "/call/team-a-y", "", ada, "{}"),
		"another one":     d.ask(t, "POST", "/call/tem-b-x", "", ada, "{}"),
		"the metrics":     d.ask(t, "GET", "/metrics", "", ada, ""),
	}
	for _, m := range methods() {
		switch m.Name() {
		case "ListServices", "ListDecorators", "ListRunners", "ListUsers", "ListRoles", "ListEvents", "GetStatus", "GetHealth", "GetLocalHealth", "ListActivity",
			"ListLocalActivity", "ListTokens", "ListCores", "WhoAmI", "ListJobs":
			if lists[string(m.Name())] = d.call(t, m, ada, "{}"); lists[string(m.Name())].status != http.StatusOK {
				t.Errorf("%s: %+v", m.Name(), lists[string(m.Name())])
			}
		case "GetDecorator":
			lists["who carries a decorator"] = d.call(t, m, ada, `{"name":"team-a-d"}`)
		case "DeleteDecorator":
			lists["a decorator in use"] = d.call(t, m, ada, `{"name":"shared"}`)
		case "UpdateDecorator":
			lists["a decorator that breaks services"] = d.call(t, m, ada, `{"decorator":{"name":"team-a-d","input_schema":{"properties":{"n":{"type":"string"}}}}}`)
		case "ReadLogs":
			lists["logs of all"] = d.call(t, m, ada, `{"service":"team-a-x"}`)
		}
	}
	for what, a := range lists {
		if strings.Contains(a.body, "team-b") {
			t.Errorf("%s shows what belongs to others: %s", what, a.body)
		}
	}
	for what, want := range map[string]string{
		"a mistyped name": "did you mean team-a-x?", "ListServices": "team-a-x", "who carries a decorator": `"services":["team-a-x"]`, "the metrics": `service="team-a-x"`,
		"a decorator in use": "DECORATOR_IN_USE", "a decorator that breaks services": "DECORATOR_BREAKS_SERVICES", "GetStatus": `"services":1`,
	} {
		if !strings.Contains(lists[what].body, want) {
			t.Errorf("%s lacks %s: %s", what, want, lists[what].body)
		}
	}
}

// What a caller may do with a service is the same whichever way the call comes.
func TestAllWaysToACallAgree(t *testing.T) {
	d, tls, socket := allWays(t)
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo"}, ruedotest.Echo())
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "page", Routes: []*ruedov1.Route{{Path: "/shop/"}}}, page())
	ways := map[string]func(d *door, shown string) int{
		"call":     func(d *door, shown string) int { return d.ask(t, "POST", "/call/echo", "", shown, `1`).status },
		"revision": func(d *door, shown string) int { return d.ask(t, "POST", "/call/echo@1", "", shown, `1`).status },
		"invoke": func(d *door, shown string) int {
			return d.ask(t, "POST", ruedov1connect.InvokeServiceInvokeProcedure, "application/json", shown, `{"service":"echo","input":1}`).status
		},
		"svc":   func(d *door, shown string) int { return d.ask(t, "GET", "/svc/page/", "", shown, "").status },
		"route": func(d *door, shown string) int { return d.ask(t, "GET", "/shop/", "", shown, "").status },
	}
	want := func(who, shown string, status int) {
		t.Helper()
		for way, ask := range ways {
			for _, d := range []*door{d, tls} {
				if shown != "" {
					d.knows(t, shown)
				}
				if got := ask(d, shown); got != status {
					t.Errorf("%s by %s over %s: %d, want %d", who, way, d.way, got, status)
				}
			}
			if got := ask(socket, shown); got != http.StatusOK {
				t.Errorf("%s by %s over the socket: %d", who, way, got)
			}
		}
	}
	want("anonymous", "", http.StatusUnauthorized)
	want("a caller", machine(t, d.Client, "caller", "call service *"), http.StatusOK)
	want("somebody who reads", machine(t, d.Client, "reader", "read service *"), http.StatusForbidden)
	want("somebody else", machine(t, d.Client, "other", "call service other"), http.StatusNotFound)
	if got := d.ask(t, "GET", "/call/echo", "", machine(t, d.Client, "curious", "read service echo"), ""); got.status != http.StatusOK {
		t.Errorf("somebody who may read a service cannot see what it accepts: %+v", got)
	}
	if _, err := d.Client.Users.CreateUser(t.Context(), &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: access.Anonymous, Machine: true, Grants: []string{"call service *"}}}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the other core knows that it is public", func() bool { return ways["call"](tls, "") == http.StatusOK })
	want("anonymous, for whom it is public", "", http.StatusOK)
}

// A decorator can carry what not every publisher may have.
func TestPublishersAttachWhatTheyMayUse(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true, Login: true})
	for _, name := range []string{"team-a-d", "egress"} {
		if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "team-a-x", Decorators: []string{"egress"}}, ruedotest.Echo())
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "team-a-x"}, ruedotest.Echo())
	publisher := func(name string, grants ...string) *ruedotest.Cluster {
		secret := machine(t, c.Client, name, append(grants, "* service team-a-*", "* decorator team-a-*")...)
		own := *c
		own.Client = client.New(c.URL, client.WithRetries(0), client.WithToken(client.StaticToken(secret)))
		return &own
	}
	ada, bob := publisher("ada"), publisher("bob", "read decorator egress")
	publish := func(by *ruedotest.Cluster, req *ruedov1.PublishServiceRequest) error {
		_, err := by.TryPublish(t.Context(), req, ruedotest.Echo())
		return err
	}
	with := func(service string, decorators ...string) *ruedov1.PublishServiceRequest {
		return &ruedov1.PublishServiceRequest{Name: service, Decorators: decorators}
	}
	if err := publish(ada, with("team-a-y", "team-a-d")); err != nil {
		t.Error(err)
	}
	wantReason(t, publish(ada, with("team-b-y", "team-a-d")), fault.PermissionDenied, "write service team-b-y")
	wantReason(t, publish(ada, with("team-a-y", "egress")), fault.DecoratorNotFound, `there is no decorator "egress"`)
	wantReason(t, publish(bob, with("team-a-y", "egress")), fault.PermissionDenied, "use decorator egress")
	define := with("team-a-y")
	define.Definitions = []*ruedov1.Decorator{{Name: "egress", Description: "mine"}}
	wantReason(t, publish(ada, define), fault.PermissionDenied, "write decorator egress")
	wantReason(t, publish(bob, define), fault.PermissionDenied, "write decorator egress")
	// A rollback attaches again.
	_, err := bob.Client.Services.RollbackService(t.Context(), &ruedov1.RollbackServiceRequest{Name: "team-a-x", Revision: 1})
	wantReason(t, err, fault.PermissionDenied, "use decorator egress")
	// What is attached stays attached.
	if _, err := c.Client.Services.RollbackService(t.Context(), &ruedov1.RollbackServiceRequest{Name: "team-a-x", Revision: 1}); err != nil {
		t.Fatal(err)
	}
	again := with("team-a-x", "egress")
	again.Description = "new"
	if err := publish(ada, again); err != nil {
		t.Error(err)
	}
}

// A token that is revoked on one core is not good on another one soon after, and what
// streams with it ends.
func TestARevokedTokenOnAnotherCore(t *testing.T) {
	one := ruedotest.New(t, ruedotest.Options{Local: true, Login: true})
	two := &door{Cluster: ruedotest.New(t, ruedotest.Options{Local: true, Login: true, Etcd: one.Etcd, SealKey: one.SealKey})}
	machine(t, one.Client, "ada", "read service *")
	made := tokenOf(t, one.Client, "ada")
	good := func() bool {
		return two.ask(t, "POST", ruedov1connect.ServiceServiceListServicesProcedure, "application/json", made.GetSecret(), "{}").status == http.StatusOK
	}
	testkit.Eventually(t, "the other core knows the token", good)
	stream, err := client.New(two.URL, client.WithToken(client.StaticToken(made.GetSecret()))).Services.WatchServices(t.Context(), &ruedov1.WatchServicesRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	defer stream.Close()
	began := time.Now()
	if _, err := one.Client.Tokens.DeleteToken(t.Context(), &ruedov1.DeleteTokenRequest{Id: made.GetToken().GetId()}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the token is no longer good", func() bool { return !good() })
	if took := time.Since(began); took > soon {
		t.Errorf("it took %s", took)
	}
	for stream.Receive() {
	}
	if connect.CodeOf(stream.Err()) != connect.CodeUnauthenticated {
		t.Error(stream.Err())
	}
}

// No route is without a rule, and few are for everybody.
func TestEachRouteSaysWhomItIsFor(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true})
	var open []string
	for _, r := range c.Core.Routes() {
		switch {
		case r.Rule == nil:
			t.Errorf("%s has no rule", r.Pattern)
		case r.Rule.GetOpen():
			open = append(open, r.Pattern[strings.LastIndexAny(r.Pattern, " ")+1:])
		}
	}
	slices.Sort(open)
	want := []string{
		"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/healthz", "/leader-check", "/leader-check/{otherwise}", "/livez", "/readyz",
		"/ruedo.v1.LoginService/AcceptInvite", "/ruedo.v1.LoginService/Hello", "/ruedo.v1.LoginService/Login",
	}
	if !slices.Equal(open, want) {
		t.Errorf("open are %q", open)
	}
}
