package demo

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
)

// exchanges publishes and calls services of kind http.
func (d *Demo) exchanges() {
	d.title("HTTP: a service can be any http.Handler; its answers are sent as they are written")
	d.published("feed")
	lines, took := d.stream("/svc/feed/events?count=3&every=100ms")
	events := strings.Count(strings.Join(lines, "\n"), "event: tick")
	d.expect(events == 3, "%d events, the last one %s after the first", events, output.Duration(took))

	d.title("A Connect service: JSON here; clients of gRPC call it, too")
	d.published("todo")
	res := d.curl("/svc/todo/todo.v1.TodoService/Arrange", "application/json", `{"tasks":[{"title":"rest"},{"title":"cook","due":"2026-12-24"}]}`)
	cook, rest := strings.Index(res.body, "cook"), strings.Index(res.body, "rest")
	d.expect(res.status == http.StatusOK && cook >= 0 && cook < rest, "what is due comes first")

	d.title("A service reaches nothing on the network but what a decorator grants")
	upstream, stop, err := greeter()
	if err != nil {
		d.expect(false, "a server on this machine: %v", err)
		return
	}
	defer stop()
	out := d.ruedo("create", "decorator", "demo-upstream", "--egress", "GET "+upstream)
	d.expect(out.code == 0, "the grant is for GET to one address")
	d.published("proxy", "--decorator", "demo-upstream", "--env", "UPSTREAM="+upstream)
	res = d.get("/svc/proxy/")
	d.expect(res.status == http.StatusOK && strings.Contains(res.body, "Hello from upstream"), "a GET gets through")
}

// greeter starts a server on this machine that a service can reach.
func greeter() (url string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "Hello from upstream")
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(ln) // ends with Close
	}()
	return "http://" + ln.Addr().String(), func() {
		_ = server.Close()
		<-served
	}, nil
}
