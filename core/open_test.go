package core_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// soon is how long what is open may outlive its permission, on a busy machine.
const soon = 5 * time.Second

// opened is something that a caller has open.
type opened struct {
	what string
	// goes reports whether it goes on.
	goes func() bool
	// read reads to the end, and returns what is said of it.
	read  func() string
	close func()
}

// ended waits for the end, and returns what is said of it.
func (o opened) ended() string {
	defer time.AfterFunc(2*soon, o.close).Stop()
	return o.read()
}

// stream opens an exchange of the service page, in which the caller and the service go on
// sending.
func (d *door) stream(t *testing.T, shown string) opened {
	t.Helper()
	body, more := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", d.URL+"/svc/page/", body)
	if err != nil {
		t.Fatal(err)
	}
	if shown != "" {
		req.Header.Set("Authorization", "Bearer "+shown)
	}
	go func() { _, _ = io.WriteString(more, "begin\n") }()
	res, err := d.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	end := func() { _ = more.Close(); _ = res.Body.Close() }
	t.Cleanup(end)
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	read := bufio.NewReader(res.Body)
	until := func(line string) bool {
		for {
			got, err := read.ReadString('\n')
			if err != nil || strings.HasSuffix(got, line) {
				return err == nil
			}
		}
	}
	if !until("begin\n") {
		t.Fatal("it does not stream")
	}
	return opened{"a stream of a service", func() bool {
		_, err := io.WriteString(more, "more\n")
		return err == nil && until("more\n")
	}, func() string {
		_, err := io.Copy(io.Discard, read)
		return fmt.Sprint(err)
	}, end}
}

// switched is a service that switches to the protocol of WebSocket, and sends back what it
// gets.
func switched() []byte {
	head := abi.AppendField(nil, abi.HeadStatus, "101")
	return duplex(abi.AppendField(head, "upgrade", "websocket"), false)
}

// webSocket opens a WebSocket of the service switched.
func (d *door) webSocket(t *testing.T, shown string) opened {
	t.Helper()
	addr := strings.TrimPrefix(d.URL, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	end := func() { _ = conn.Close() }
	t.Cleanup(end)
	fmt.Fprintf(conn, "GET /svc/switched/ HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", addr)
	if shown != "" {
		fmt.Fprintf(conn, "Authorization: Bearer %s\r\n", shown)
	}
	fmt.Fprint(conn, "\r\n")
	read := bufio.NewReader(conn)
	res, err := http.ReadResponse(read, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	return opened{"a WebSocket", func() bool {
		const frame = "\x81\x05hello"
		_, _ = io.WriteString(conn, frame)
		got := make([]byte, len(frame))
		_, err := io.ReadFull(read, got)
		return err == nil && string(got) == frame
	}, func() string {
		rest, err := io.ReadAll(read)
		if err != nil || len(rest) < 4 || rest[0] != 0x88 {
			return fmt.Sprintf("%q %v", rest, err)
		}
		return fmt.Sprint(int(rest[2])<<8|int(rest[3]), " ", string(rest[4:]))
	}, end}
}

// watch opens a watch of services.
func (d *door) watch(t *testing.T, shown string) opened {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	stream, err := client.New(d.URL, client.WithToken(client.StaticToken(shown)), client.WithRetries(0)).Services.WatchServices(ctx, &ruedov1.WatchServicesRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	t.Cleanup(end)
	return opened{"a watch", func() bool { return stream.Err() == nil }, func() string {
		for stream.Receive() {
		}
		return fmt.Sprint(stream.Err())
	}, end}
}

// run begins a call that does not end on its own. It is open as soon as it executes.
func (d *door) run(t *testing.T, what, path, shown, body string) opened {
	t.Helper()
	active := func() (n uint64) {
		res, err := d.Client.Cluster.ListRunners(t.Context(), &ruedov1.ListRunnersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range res.GetItems() {
			n += uint64(r.GetActiveCalls())
		}
		return n
	}
	before := active()
	ctx, end := context.WithCancel(t.Context())
	said := make(chan string, 1)
	req, err := http.NewRequestWithContext(ctx, "POST", d.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if shown != "" {
		req.Header.Set("Authorization", "Bearer "+shown)
	}
	go func() {
		res, err := d.HTTP.Do(req)
		if err != nil {
			said <- err.Error()
			return
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		said <- fmt.Sprint(string(text), err)
	}()
	t.Cleanup(end)
	testkit.Eventually(t, what+" executes", func() bool { return active() == before+1 })
	return opened{what, func() bool { return len(said) == 0 }, func() string { return <-said }, end}
}

// What is open ends with the permission to have it: it is not only asked when it begins.
func TestWhatIsOpenEndsWithItsPermission(t *testing.T) {
	d, _, socket := allWays(t)
	long := &ruedov1.Decorator{Name: "long", Limits: &ruedov1.Limits{Timeout: durationpb.New(time.Hour), Idle: durationpb.New(time.Hour)}}
	if _, err := d.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: long}); err != nil {
		t.Fatal(err)
	}
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "page", Decorators: []string{"long"}}, page())
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "switched", Decorators: []string{"long"}}, switched())
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "rest", Decorators: []string{"long"}}, w.Sleep(time.Hour))
	users, roles := d.Client.Users, d.Client.Roles
	grants := []string{"call service *", "read service *"}
	user := func(name string, change func(*ruedov1.User)) {
		t.Helper()
		u := &ruedov1.User{Name: name, Machine: true, Grants: grants}
		change(u)
		if _, err := users.UpdateUser(t.Context(), &ruedov1.UpdateUserRequest{User: u}); err != nil {
			t.Fatal(err)
		}
	}
	role := &ruedov1.Role{Name: "team", Grants: grants}
	if _, err := roles.CreateRole(t.Context(), &ruedov1.CreateRoleRequest{Role: role}); err != nil {
		t.Fatal(err)
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bystander := machine(t, d.Client, "bystander", grants...)
	stays := []opened{d.stream(t, bystander), d.webSocket(t, bystander), d.watch(t, bystander)}

	var opening time.Duration // how long it took so far
	for i, c := range []struct {
		what string
		take func(name string, made *ruedov1.CreateTokenResponse)
		says string // to a WebSocket and a watch
	}{
		{"the token is deleted", func(_ string, made *ruedov1.CreateTokenResponse) {
			must(d.Client.Tokens.DeleteToken(t.Context(), &ruedov1.DeleteTokenRequest{Id: made.GetToken().GetId()}))
		}, "this needs a login that is good"},
		{"the token expires", func(string, *ruedov1.CreateTokenResponse) {}, "this needs a login that is good"},
		{"the secret is replaced", func(_ string, made *ruedov1.CreateTokenResponse) {
			must(d.Client.Tokens.RotateToken(t.Context(), &ruedov1.RotateTokenRequest{Id: made.GetToken().GetId()}))
		}, "this needs a login that is good"},
		{"the user is deleted", func(name string, _ *ruedov1.CreateTokenResponse) {
			must(users.DeleteUser(t.Context(), &ruedov1.DeleteUserRequest{Name: name}))
		}, "this needs a login that is good"},
		{"the user is disabled", func(name string, _ *ruedov1.CreateTokenResponse) {
			user(name, func(u *ruedov1.User) { u.Disabled = true })
		}, "this needs a login that is good"},
		{"all tokens of the user end", func(name string, _ *ruedov1.CreateTokenResponse) {
			must(d.Client.Tokens.EndTokens(t.Context(), &ruedov1.EndTokensRequest{User: name}))
		}, "this needs a login that is good"},
		{"the grant is taken away", func(name string, _ *ruedov1.CreateTokenResponse) {
			user(name, func(u *ruedov1.User) { u.Grants = []string{"call service other"} })
		}, "may not do this: it needs the grant"},
		{"the role loses the grant", func(name string, _ *ruedov1.CreateTokenResponse) {
			must(roles.UpdateRole(t.Context(), &ruedov1.UpdateRoleRequest{Role: &ruedov1.Role{Name: role.Name, Grants: []string{"call service other"}}}))
		}, "may not do this: it needs the grant"},
	} {
		t.Run(c.what, func(t *testing.T) {
			name := fmt.Sprint("user-", i)
			create := &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: name, Machine: true, Grants: grants}}
			if strings.Contains(c.what, "role") {
				create.User.Roles, create.User.Grants = []string{role.Name}, nil
			}
			if _, err := users.CreateUser(t.Context(), create); err != nil {
				t.Fatal(err)
			}
			lifetime, expires := time.Hour, strings.Contains(c.what, "expires")
			if expires {
				lifetime = time.Second + 4*opening
			}
			began := time.Now()
			made, err := d.Client.Tokens.CreateToken(t.Context(), &ruedov1.CreateTokenRequest{User: name, Lifetime: durationpb.New(lifetime)})
			if err != nil {
				t.Fatal(err)
			}
			all := []opened{
				d.stream(t, made.GetSecret()), d.webSocket(t, made.GetSecret()), d.watch(t, made.GetSecret()),
				d.run(t, "a call", "/call/rest", made.GetSecret(), "{}"),
				d.run(t, "a call by Connect", ruedov1connect.InvokeServiceInvokeProcedure, made.GetSecret(), `{"service":"rest"}`),
			}
			for _, one := range all {
				if !one.goes() {
					t.Fatalf("%s does not go on", one.what)
				}
			}
			opening = max(opening, time.Since(began))
			c.take(name, made)
			began = time.Now()
			if expires {
				began = made.GetToken().GetExpireTime().AsTime()
			}
			for i, one := range all {
				if said := one.ended(); said == "<nil>" || i > 0 && !strings.Contains(said, c.says) {
					t.Errorf("%s ends with %s", one.what, said)
				}
				if took := time.Since(began); took > soon {
					t.Errorf("%s went on for %s", one.what, took)
				}
			}
		})
	}
	// What others lose, and what a caller does not need, ends nothing.
	user("bystander", func(u *ruedov1.User) { u.Grants = append(u.Grants, "read cluster *") })
	if said := stays[2].ended(); !strings.Contains(said, "what the caller may do has changed") {
		t.Errorf("a watch, which shows what the caller may see, ends with %s", said)
	}
	for _, one := range stays[:2] {
		if !one.goes() {
			t.Errorf("%s of a bystander has ended", one.what)
		}
	}
	// What was public is not any more.
	must(users.CreateUser(t.Context(), &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: access.Anonymous, Machine: true, Grants: []string{"call service *"}}}))
	public := []opened{d.stream(t, ""), d.webSocket(t, "")}
	must(users.DeleteUser(t.Context(), &ruedov1.DeleteUserRequest{Name: access.Anonymous}))
	for _, one := range public {
		if said := one.ended(); said == "<nil>" {
			t.Errorf("%s of everybody ends with %s", one.what, said)
		}
	}
	for _, want := range []string{`ruedo_requests_total{outcome="UNAUTHENTICATED",procedure="svc"} 14`, `ruedo_requests_total{outcome="PERMISSION_DENIED",procedure="svc"} 4`} {
		// A request is counted after its end is on its way.
		testkit.Eventually(t, "the metrics have "+want, func() bool {
			return strings.Contains(socket.ask(t, "GET", "/metrics", "", "", "").body, want+"\n")
		})
	}
}

// A runner has its lane for as long as it may execute, and gets it back when it may again.
func TestALaneEndsWithItsPermission(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Login: true})
	secret := machine(t, c.Client, "edge", "execute service *")
	c.AddRunner(t, ruedotest.Token(secret))
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "nap"}, w.Sleep(300*time.Millisecond))
	call := func(ctx context.Context) error {
		_, err := c.Client.Call(ctx, "nap", nil)
		return err
	}
	runners := func() int {
		res, err := c.Client.Cluster.ListRunners(t.Context(), &ruedov1.ListRunnersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return len(res.GetItems())
	}
	edge := func(disabled bool, grants ...string) {
		t.Helper()
		u := &ruedov1.User{Name: "edge", Machine: true, Disabled: disabled, Grants: grants}
		if _, err := c.Client.Users.UpdateUser(t.Context(), &ruedov1.UpdateUserRequest{User: u}); err != nil {
			t.Fatal(err)
		}
	}
	// It may do something else as well: its calls notice nothing.
	called := make(chan error, 1)
	go func() { called <- call(context.Background()) }()
	testkit.Eventually(t, "the call executes", func() bool {
		res, err := c.Client.Cluster.ListRunners(t.Context(), &ruedov1.ListRunnersRequest{})
		return err == nil && len(res.GetItems()) == 1 && res.GetItems()[0].GetActiveCalls() > 0
	})
	edge(false, "execute service *", "read cluster *")
	if err := <-called; err != nil {
		t.Errorf("the lane ended: %v", err)
	}

	for what, take := range map[string]func(){
		"the grant is taken away": func() { edge(false, "read cluster *") },
		"the user is disabled":    func() { edge(true, "execute service *") },
	} {
		take()
		began := time.Now()
		testkit.Eventually(t, "the runner is gone: "+what, func() bool { return runners() == 0 })
		if took := time.Since(began); took > soon {
			t.Errorf("%s, and the lane went on for %s", what, took)
		}
		wantReason(t, call(t.Context()), fault.NoRunner)
		edge(false, "execute service *")
		testkit.Eventually(t, "the runner is back", func() bool { return runners() == 1 && call(t.Context()) == nil })
	}
	id := strings.Split(secret, "_")[2]
	if _, err := c.Client.Tokens.DeleteToken(t.Context(), &ruedov1.DeleteTokenRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the runner is gone for good", func() bool { return runners() == 0 })
	wantReason(t, call(t.Context()), fault.NoRunner)
}
