package core_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// page is a service of kind http that sets a cookie and answers with the head of the
// request, as guests see it, and then with the body.
func page() []byte {
	head := abi.AppendField(nil, abi.HeadStatus, "200")
	head = abi.AppendField(head, "content-type", "text/html")
	head = abi.AppendField(head, "set-cookie", "seen=1")
	head = abi.AppendField(head, "clear-site-data", `"cookies"`)
	return duplex(head, true)
}

// duplex is a service of kind http that answers with a head, with the head of the request
// if it says so, and then with each piece of the body as it comes.
func duplex(head []byte, says bool) []byte {
	const at, buffer, size = 1024, 4096, 32 << 10
	m := w.New()
	answer := m.Import("ruedo", abi.ImportHeadWrite, "ii>i")
	request := m.Import("ruedo", abi.ImportHeadRead, "ii>i")
	read, write := m.Import("ruedo", abi.ImportInputRead, "ii>i"), m.Import("ruedo", abi.ImportOutputWrite, "ii>i")
	m.Memory(1, -1)
	m.Data(at, head)
	m.Export(abi.MarkerHTTP, m.Func(">"))
	const loop, end, branchIf, get, set, keep, less, add, sub, i32 = 0x03, 0x0b, 0x0d, 0x20, 0x21, 0x22, 0x48, 0x6a, 0x6b, 0x7f
	const got, done = 0, 1 // bytes of a piece: read, and written
	first := w.Cat(w.I32(buffer), w.CallWith(request, buffer, size), w.Call(write), w.Drop())
	if !says {
		first = nil
	}
	m.AsFunction(m.FuncLocals(">i", w.Vec(w.Cat(w.U32(2), w.Ops(i32))),
		w.CallWith(answer, at, int32(len(head))), w.Drop(),
		first,
		w.Ops(loop, 0x40),
		w.CallWith(read, buffer, size), w.Ops(set, got), w.I32(0), w.Ops(set, done),
		w.Ops(loop, 0x40), // a write can take less than the piece
		w.I32(buffer), w.Ops(get, done, add, get, got, get, done, sub), w.Call(write), w.Ops(get, done, add, keep, done),
		w.Ops(get, got, less, branchIf, 0, end),
		w.Ops(get, got, branchIf, 0, end), w.I32(0)))
	return m.Bytes()
}

// With no limit of bytes, more passes than a function can have, in both directions.
func TestBodiesWithoutALimit(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true})
	endless := &ruedov1.Decorator{Name: "endless", Limits: &ruedov1.Limits{InputBytes: limits.None, OutputBytes: limits.None}}
	if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: endless}); err != nil {
		t.Fatal(err)
	}
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "page", Decorators: []string{"endless"}}, page())
	const size = 65 << 20 // the default is 64 MiB
	res, err := c.HTTP.Post(c.URL+"/svc/page/", "text/plain", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); n < size || err != nil || res.StatusCode != 200 {
		t.Errorf("%s, %d bytes, %v", res.Status, n, err)
	}
	_, err = c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "echo", Decorators: []string{"endless"}}, ruedotest.Echo())
	wantReason(t, err, fault.DecoratorInvalid, "input is none, and more than 64 MiB is only for services of kind http")
}

// zeros has as many zeros as anybody wants.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// ask sends a request and returns the answer with its body.
func ask(t *testing.T, c *http.Client, method, url string, edit func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(req)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// The port for web applications serves services of kind http and their routes. It is
// another origin than the API: answers are pages like any other, with cookies.
func TestThePortForWebApplications(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true, Apps: true})
	c.Publish(t, &ruedov1.PublishServiceRequest{
		Name: "page", Routes: []*ruedov1.Route{{Path: "/shop/"}, {Host: "shop.example.com", Path: "/"}},
	}, page())
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	apps := c.Core.AppsURL()

	cookie := func(r *http.Request) { r.Header.Set("Cookie", "a=b") }
	for _, path := range []string{"/svc/page/x", "/shop/x"} {
		res, body := ask(t, c.HTTP, "GET", apps+path, cookie)
		h := res.Header
		if res.StatusCode != 200 || h.Get("Set-Cookie") != "seen=1" || h.Get("Content-Security-Policy") != "" || h.Get("X-Content-Type-Options") != "" || !strings.Contains(body, "a=b") {
			t.Errorf("%s for web applications: %s %v %q", path, res.Status, h, body)
		}
		if h.Get("Clear-Site-Data") != "" {
			t.Error("a service clears the cookies of the host, which the API has, too")
		}
		res, body = ask(t, c.HTTP, "GET", c.URL+path, cookie)
		if res.Header.Get("Set-Cookie") != "" || res.Header.Get("Content-Security-Policy") != "sandbox" || !strings.Contains(body, ":method") || strings.Contains(body, "a=b") {
			t.Errorf("%s next to the API: %v %q", path, res.Header, body)
		}
	}
	named := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	if res, _ := ask(t, c.HTTP, "GET", apps+"/", named("shop.example.com")); res.StatusCode != 200 || res.Header.Get("Clear-Site-Data") == "" {
		t.Errorf("a host of its own: %s %v", res.Status, res.Header)
	}
	if res, body := ask(t, c.HTTP, "GET", apps+"/svc/page/", named("rebound.example.com")); res.StatusCode != http.StatusForbidden || !strings.Contains(body, string(fault.HostNotAllowed)) {
		t.Errorf("a host that is nobody's: %s %s", res.Status, body)
	}
}

// Nothing of the API is on that port, whatever the core mounts on the other one.
func TestThePortForWebApplicationsHasNoAPI(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1, Apps: true})
	asked := 0
	for _, r := range append(c.Core.Routes(), port.Route{Pattern: "/call/echo"}, port.Route{Pattern: "/"}) {
		method, path, ok := strings.Cut(r.Pattern, " ")
		if !ok {
			method, path = "POST", r.Pattern
		}
		if !strings.HasPrefix(path, "/") || path == "/svc/" {
			continue // of services
		}
		asked++
		path = strings.NewReplacer("{", "", "}", "").Replace(path)
		res, body := ask(t, c.HTTP, method, c.Core.AppsURL()+path, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s: %s %s", method, path, res.Status, body)
		}
	}
	if asked < 20 {
		t.Errorf("only %d routes were asked for", asked)
	}
}

// A core that goes down lets web applications finish: what streams for them travels
// over its other port, which ends later.
func TestWebApplicationsFinishWhenACoreGoesDown(t *testing.T) {
	cfg := config(etcdtest.Start(t, etcdembed.Config{}))
	cfg.Apps = "127.0.0.1:0"
	c, err := core.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, c.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	at := &ruedotest.Cluster{Core: c, URL: c.URL(), Client: client.New(c.URL(), client.WithRetries(0)), HTTP: http.DefaultClient}
	attach(t, "edge", at)
	at.Publish(t, &ruedov1.PublishServiceRequest{Name: "page"}, page())

	body, send := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", c.AppsURL()+"/svc/page/", body)
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		answer <- fmt.Sprint(res.StatusCode, " ", len(b)-bytes.LastIndexByte(b, 'x')-1, " ", err)
	}()
	_, _ = io.WriteString(send, "x")
	testkit.Eventually(t, "the service is called", func() bool {
		res, err := at.Client.Inspect.ListActivity(t.Context(), &ruedov1.ListActivityRequest{})
		return err == nil && res.GetTotal() == 1
	})
	stop()
	testkit.Eventually(t, "the core goes down", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.AppsURL(), "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	const size = 200_000 // more than is answered without a stream
	_, _ = io.WriteString(send, strings.Repeat("Y", size))
	_ = send.Close()
	if got, want := <-answer, fmt.Sprint(200, " ", size, " ", nil); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
