package examples_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"golang.org/x/crypto/ssh"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/sshdevice"
	"github.com/ruedo-dev/ruedo/internal/testkit/sshtest"
)

// granted lets a service connect to one place more than its decorators do, as
// `ruedo create decorator` and `ruedo publish --decorator` would.
func granted(t *testing.T, c *ruedotest.Cluster, name, rule string) func(*ruedov1.PublishServiceRequest) {
	t.Helper()
	d := &ruedov1.Decorator{Name: name, Grants: &ruedov1.Grants{Egress: []string{rule}}}
	if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: d}); err != nil {
		t.Fatal(err)
	}
	return func(req *ruedov1.PublishServiceRequest) { req.Decorators = append(req.Decorators, name) }
}

// get returns the answer of a service to a request with a field, which the caller
// closes.
func get(t *testing.T, c *ruedotest.Cluster, path, field, value string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+"/svc/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(field, value)
	res, err := c.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func feed(t *testing.T, c *ruedotest.Cluster) {
	publish(t, c, "feed")
	// The first event is there although the second one comes in a minute.
	res := get(t, c, "feed/events?every=1m", "Last-Event-ID", "6")
	defer res.Body.Close()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil || line != "id: 7\n" || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("got %q of type %q, %v", line, res.Header.Get("Content-Type"), err)
	}
	whole := get(t, c, "feed/events?every=1ms&count=3", "Last-Event-ID", "1")
	defer whole.Body.Close()
	if b, err := io.ReadAll(whole.Body); err != nil || strings.Count(string(b), "\n\n") != 2 || !strings.HasSuffix(string(b), "data: {\"n\":3,\"left\":0}\n\n") {
		t.Errorf("got %q, %v", b, err)
	}
}

func proxy(t *testing.T, c *ruedotest.Cluster) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("a %s reached the upstream", r.Method)
		}
		fmt.Fprintf(w, "%s of %s, cookie %q", r.URL, r.Host, r.Header.Get("Cookie"))
	}))
	t.Cleanup(upstream.Close)
	publish(t, c, "proxy", granted(t, c, "proxy-test", "GET "+upstream.URL), func(req *ruedov1.PublishServiceRequest) {
		req.Env = map[string]string{"UPSTREAM": upstream.URL}
	})
	res := get(t, c, "proxy/items?limit=2", "Cookie", "session=1")
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if want := "/items?limit=2 of " + strings.TrimPrefix(upstream.URL, "http://") + `, cookie ""`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	posted, err := c.HTTP.Post(c.URL+"/svc/proxy/", "", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer posted.Body.Close()
	if b, err := io.ReadAll(posted.Body); err != nil || posted.StatusCode != http.StatusBadGateway || !strings.Contains(string(b), "no rule of the service grants POST "+upstream.URL) {
		t.Errorf("a method without a grant: %d %s, %v", posted.StatusCode, b, err)
	}
}

func netcheck(t *testing.T, c *ruedotest.Cluster) {
	device, other := sshtest.Start(t), sshtest.Start(t)
	publish(t, c, "netcheck", granted(t, c, "netcheck-test", "tcp://"+strings.Replace(device.Address, ":", "/32:", 1)))
	for _, tt := range []struct {
		name     string
		to, keys *sshdevice.Device
		status   int
		want     string
	}{
		{"a device", device, device, 200, `{"output":"ran show clock","status":0}`},
		{"a device with another host key", device, other, 502, "host key mismatch"},
		{"a device without a grant", other, other, 502, "no rule of the service grants tcp://" + other.Address},
	} {
		key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(tt.keys.Keys[1])))
		body := fmt.Sprintf(`{"address":%q,"user":%q,"password":%q,"host_key":%q,"command":"show clock"}`, tt.to.Address, sshdevice.User, sshdevice.Password, key)
		res, err := c.HTTP.Post(c.URL+"/svc/netcheck/run", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != tt.status || !strings.Contains(string(got), tt.want) {
			t.Errorf("%s: got %d %s, %v; want %d %s", tt.name, res.StatusCode, got, err, tt.status, tt.want)
		}
	}
}

func chat(t *testing.T, c *ruedotest.Cluster) {
	publish(t, c, "chat")
	dial := func() *websocket.Conn {
		conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(c.URL, "http")+"/svc/chat/", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	// Both are open, and each has a bot of its own.
	ada, other := dial(), dial()
	for _, line := range []struct {
		conn      *websocket.Conn
		say, want string
	}{
		{ada, "my name is Ada", "Hello, Ada!"},
		{other, "who am I", "You have not said."},
		{ada, "who am I", "You are Ada."},
		{ada, "bye", "Goodbye."},
	} {
		if err := line.conn.WriteMessage(websocket.TextMessage, []byte(line.say)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := line.conn.ReadMessage(); err != nil || string(got) != line.want {
			t.Errorf("%s: got %q, %v; want %q", line.say, got, err, line.want)
		}
	}
	if _, _, err := ada.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("after bye: %v", err)
	}
}
