package core_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"

	_ "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1" // whose procedures are walked, too
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// door is the front door of a cluster with login, as callers find it who show something
// or nothing, each request from an address of its own: failures are limited by address.
type door struct {
	*ruedotest.Cluster
	requests int
}

// answer is what a caller gets, without what differs from one request to the next.
type answer struct {
	status int
	body   string
	header string
}

func (d *door) ask(t *testing.T, method, path, contentType, shown, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, d.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if shown != "" {
		req.Header.Set("Authorization", "Bearer "+shown)
	}
	d.requests++
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", d.requests>>16, d.requests>>8&255, d.requests&255))
	res, err := d.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Header.Del("Date")
	return answer{res.StatusCode, details.ReplaceAllString(string(b), ""), fmt.Sprint(slices.Sorted(maps.Keys(res.Header)))}
}

// details are the facts of an error in protobuf's encoding, whose order is random. They
// follow in JSON.
var details = regexp.MustCompile(`"value":"[^"]*",`)

// call calls a procedure with a request in JSON.
func (d *door) call(t *testing.T, m protoreflect.MethodDescriptor, shown, request string) answer {
	t.Helper()
	path := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
	if m.IsStreamingClient() || m.IsStreamingServer() {
		envelope := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request)))
		return d.ask(t, "POST", path, "application/connect+json", shown, string(envelope)+request)
	}
	return d.ask(t, "POST", path, "application/json", shown, request)
}

// methods returns all of our procedures that a core serves, sorted by name.
func methods() (list []protoreflect.MethodDescriptor) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				if m := file.Services().Get(i).Methods().Get(j); strings.HasPrefix(string(m.FullName()), "ruedo.") {
					list = append(list, m)
				}
			}
		}
		return true
	})
	slices.SortFunc(list, func(a, b protoreflect.MethodDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return list
}

func ruleOf(m protoreflect.MethodDescriptor) *access.Rule {
	return proto.GetExtension(m.Options(), ruedov1.E_Access).(*access.Rule)
}

// machine creates a program with grants, and returns the secret of a token of it.
func machine(t *testing.T, c *client.Client, name string, grants ...string) string {
	t.Helper()
	if _, err := c.Users.CreateUser(t.Context(), &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: name, Machine: true, Grants: grants}}); err != nil {
		t.Fatal(err)
	}
	return tokenOf(t, c, name).GetSecret()
}

func tokenOf(t *testing.T, c *client.Client, user string) *ruedov1.CreateTokenResponse {
	t.Helper()
	res, err := c.Tokens.CreateToken(t.Context(), &ruedov1.CreateTokenRequest{User: user})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Nobody without a credential can do anything but say hello, and all that is no good
// credential gets the same answer, at every procedure and at every route.
func TestWithoutAGoodToken(t *testing.T) {
	d := &door{Cluster: ruedotest.New(t, ruedotest.Options{Local: true, Login: true})}
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo"}, ruedotest.Echo())
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "page", Routes: []*ruedov1.Route{{Path: "/shop/"}}}, page())
	good := machine(t, d.Client, "ada", "* * *")
	revoked, rotated, expired := tokenOf(t, d.Client, "ada"), tokenOf(t, d.Client, "ada"), tokenOf(t, d.Client, "ada")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.Client.Tokens.DeleteToken(t.Context(), &ruedov1.DeleteTokenRequest{Id: revoked.GetToken().GetId()}))
	must(d.Client.Tokens.RotateToken(t.Context(), &ruedov1.RotateTokenRequest{Id: rotated.GetToken().GetId(), Grace: durationpb.New(time.Millisecond)}))
	short, err := d.Client.Tokens.RotateToken(t.Context(), &ruedov1.RotateTokenRequest{Id: expired.GetToken().GetId(), Lifetime: durationpb.New(time.Second)})
	must(short, err)
	shown := map[string]string{
		"nothing": "", "garbage": "garbage", "a revoked token": revoked.GetSecret(), "a token after its grace": rotated.GetSecret(),
		"a token of another cluster": token.New(token.Bearer).Reveal(), "an expired token": short.GetSecret(),
	}
	testkit.Eventually(t, "the token has expired", func() bool {
		return d.ask(t, "GET", "/metrics", "", short.GetSecret(), "").status == http.StatusUnauthorized
	})

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
	for _, route := range []string{
		"POST /call/echo", "GET /call/echo", "PUT /call/echo", "POST /call/nothing", "POST /call/a/b", "GET /svc/page/", "GET /svc/nothing/", "GET /svc/page", "GET /shop/",
		"GET /nothing", "GET /metrics", "POST /ruedo.v1.NoService/Nothing", "POST /grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
	} {
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
	if got := d.ask(t, "POST", ruedov1connect.InvokeServiceInvokeProcedure, "application/json", good, `{"service":"echo","input":1}`); got.status != http.StatusOK {
		t.Errorf("a good token: %+v", got)
	}
}

// To a team, what belongs to another one does not exist, whatever it asks, and
// whichever way.
func TestOtherTeamsDoNotExist(t *testing.T) {
	d := &door{Cluster: ruedotest.New(t, ruedotest.Options{Local: true, Login: true})}
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
	if there, gone := d.ask(t, "GET", "/b/", "", ada, ""), d.ask(t, "GET", "/c/", "", ada, ""); there != gone || there.status != http.StatusNotFound {
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

// requestFor returns a request in JSON that is about a name.
func requestFor(t *testing.T, m protoreflect.MethodDescriptor, name string) string {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
	if err != nil {
		t.Fatal(err)
	}
	msg := kind.New()
	path := strings.Split(ruleOf(m).GetName(), ".")
	at := msg
	for _, field := range path[:len(path)-1] {
		at = at.Mutable(at.Descriptor().Fields().ByName(protoreflect.Name(field))).Message()
	}
	at.Set(at.Descriptor().Fields().ByName(protoreflect.Name(path[len(path)-1])), protoreflect.ValueOfString(name))
	b, err := protojson.Marshal(msg.Interface())
	if err != nil {
		t.Fatal(err)
	}
	var tight bytes.Buffer
	if err := json.Compact(&tight, b); err != nil {
		t.Fatal(err)
	}
	return tight.String()
}

// What a caller may do with a service is the same whichever way the call comes.
func TestAllWaysToACallAgree(t *testing.T) {
	d := &door{Cluster: ruedotest.New(t, ruedotest.Options{Local: true, Login: true})}
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo"}, ruedotest.Echo())
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "page", Routes: []*ruedov1.Route{{Path: "/shop/"}}}, page())
	ways := map[string]func(shown string) int{
		"call":     func(shown string) int { return d.ask(t, "POST", "/call/echo", "", shown, `1`).status },
		"revision": func(shown string) int { return d.ask(t, "POST", "/call/echo@1", "", shown, `1`).status },
		"invoke": func(shown string) int {
			return d.ask(t, "POST", ruedov1connect.InvokeServiceInvokeProcedure, "application/json", shown, `{"service":"echo","input":1}`).status
		},
		"svc":   func(shown string) int { return d.ask(t, "GET", "/svc/page/", "", shown, "").status },
		"route": func(shown string) int { return d.ask(t, "GET", "/shop/", "", shown, "").status },
	}
	want := func(who, shown string, status int) {
		t.Helper()
		for way, ask := range ways {
			if got := ask(shown); got != status {
				t.Errorf("%s by %s: %d, want %d", who, way, got, status)
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
	if took := time.Since(began); took > time.Second {
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
