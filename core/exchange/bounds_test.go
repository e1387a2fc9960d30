package exchange_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// A peer that stops in the middle of what it should send or read is ended; a stream
// in which nothing happens is not.
func TestSlowPeersAndIdleStreams(t *testing.T) {
	const idle = 300 * time.Millisecond
	s := newSite(t, options{port: port.Config{Idle: idle}})
	events := s.raw(t)
	fmt.Fprintf(events, "GET /svc/talk/events?n=2&stay HTTP/1.1\r\nHost: %s\r\n\r\n", s.Addr)
	lines := s.raw(t)
	fmt.Fprintf(lines, "POST /svc/talk/lines HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n", s.Addr)

	t.Run("a caller that never reads", func(t *testing.T) {
		before, _ := s.last()
		conn := s.raw(t)
		fmt.Fprintf(conn, "GET /svc/talk/big?n=67108864 HTTP/1.1\r\nHost: %s\r\n\r\n", s.Addr)
		testkit.Eventually(t, "the call is over", func() bool { n, _ := s.last(); return n > before })
		if n, _ := io.Copy(io.Discard, conn); n >= 64<<20 {
			t.Error("it got the whole answer")
		}
	})
	t.Run("a body of announced length that stops", func(t *testing.T) {
		for _, size := range []int{1000, 100_000} {
			conn := s.raw(t)
			fmt.Fprintf(conn, "POST /svc/talk/count HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\nabc", s.Addr, size)
			res, got := answer(t, bufio.NewReader(conn))
			if !strings.Contains(got, "REQUEST_TOO_SLOW") && got != "3 unexpected EOF" {
				t.Errorf("%d bytes: %s %s", size, res.Status, got)
			}
		}
	})
	t.Run("idle streams go on", func(t *testing.T) {
		time.Sleep(3 * idle)
		r := bufio.NewReader(events)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := "data: 0\n\ndata: 1\n\n"
		if _, err := io.ReadFull(res.Body, make([]byte, len(want))); err != nil {
			t.Fatal(err)
		}
		_ = events.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := res.Body.Read(make([]byte, 1)); err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
			t.Errorf("the stream of events ended: %v", err)
		}
		in := bufio.NewReader(lines)
		if res, err = http.ReadResponse(in, nil); err != nil {
			t.Fatal(err)
		}
		body := bufio.NewReader(res.Body)
		_, _ = body.ReadString('\n')
		fmt.Fprint(lines, "2\r\nb\n\r\n0\r\n\r\n")
		if b, err := io.ReadAll(body); string(b) != "> b\n" || err != nil {
			t.Errorf("%q %v", b, err)
		}
	})
	events.Close()
}

func TestAStreamThatIsIdleForTooLong(t *testing.T) {
	s := newSite(t, options{idle: 500 * time.Millisecond})
	res, err := s.H2.Get(s.URL + "/svc/talk/events?n=1&stay")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); string(b) != "data: 0\n\n" || err == nil {
		t.Errorf("%q %v", b, err)
	}
	if n, outcome := s.last(); n != 1 || outcome != fault.GuestIdle {
		t.Error(n, outcome)
	}
}

func TestTooManyExchanges(t *testing.T) {
	s := newSite(t, options{open: 4})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for range 3 {
		req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/svc/talk/events?n=1&stay", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.H2.Do(req)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		defer res.Body.Close()
	}
	res, got := s.do(t, s.H1, "GET", "/svc/talk/seen", nil, nil)
	if res.StatusCode != http.StatusTooManyRequests || !strings.Contains(got, "STREAMS_FULL") || !strings.Contains(got, `"started":"no"`) || res.Header.Get("Retry-After") == "" {
		t.Error(res.Status, got)
	}
	leave()
	testkit.Eventually(t, "there is room again", func() bool {
		res, _ := s.do(t, s.H1, "GET", "/svc/talk/seen", nil, nil)
		return res.StatusCode == 200
	})
}

func TestGoingDownEndsStreams(t *testing.T) {
	down, stop := context.WithCancel(t.Context())
	s := newSite(t, options{down: down})
	res, err := s.H1.Get(s.URL + "/svc/talk/events?n=1&stay")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	stop()
	if b, err := io.ReadAll(res.Body); string(b) != "data: 0\n\n" || err == nil {
		t.Errorf("%q %v: the answer looks complete", b, err)
	}
}

// routes is one declared route.
type routes struct{ host, prefix string }

func (r routes) Lookup(host, path, _ string) (string, bool) {
	return "talk", (r.host == "" || r.HasHost(host)) && strings.HasPrefix(path, r.prefix)
}

func (r routes) HasHost(host string) bool {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	return host != "" && host == r.host
}

func TestOrigins(t *testing.T) {
	restricted := func(t *testing.T, res *http.Response) {
		t.Helper()
		for _, name := range []string{"Set-Cookie", "Clear-Site-Data", "Service-Worker-Allowed", "Refresh"} {
			if res.Header.Get(name) != "" {
				t.Errorf("%s passes on the host of the API", name)
			}
		}
		if res.Header.Get("Content-Security-Policy") != "sandbox" || res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("X-Own") != "a=b" {
			t.Error(res.Header)
		}
		if res.Header.Get("Ruedo-Runner") == "a=b" {
			t.Error("the service says which runner executed it")
		}
	}
	s := newSite(t, options{routes: routes{prefix: "/browser"}})
	s.clients(t, func(t *testing.T, c *http.Client) {
		for _, path := range []string{"/svc/talk/browser", "/browser"} {
			res, _ := s.do(t, c, "GET", path, nil, nil)
			restricted(t, res)
		}
		if res, _ := s.do(t, c, "GET", "/other", nil, nil); res.StatusCode != 404 {
			t.Error(res.Status)
		}
		// A route of any host is not one of every name that leads here.
		if res, _ := s.do(t, c, "GET", "/browser", nil, func(r *http.Request) { r.Host = "evil.example.com" }); res.StatusCode != http.StatusForbidden {
			t.Error(res.Status)
		}
	})
	s = newSite(t, options{routes: routes{host: "app.example.com", prefix: "/"}})
	s.clients(t, func(t *testing.T, c *http.Client) {
		host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
		res, _ := s.do(t, c, "GET", "/browser", nil, host("App.example.com:99"))
		if res.StatusCode != 200 || res.Header.Get("Set-Cookie") != "a=b" || res.Header.Get("Content-Security-Policy") != "" {
			t.Error(res.Status, res.Header)
		}
		_, got := s.do(t, c, "GET", "/seen", nil, func(r *http.Request) {
			host("app.example.com")(r)
			r.Header.Set("Cookie", "a=b")
			r.Header.Set("Authorization", "Bearer x")
		})
		if strings.Contains(got, "X-Forwarded-Prefix") || strings.Contains(got, "Authorization") || !strings.Contains(got, "Cookie: a=b") {
			t.Error(got)
		}
		if res, got := s.do(t, c, "GET", "/browser", nil, host("other.example.com")); res.StatusCode != http.StatusForbidden || !strings.Contains(got, "HOST_NOT_ALLOWED") {
			t.Error(res.Status, got)
		}
		if res, _ := s.do(t, c, "GET", "/browser", nil, nil); res.StatusCode != 404 {
			t.Error(res.Status)
		}
	})
}
