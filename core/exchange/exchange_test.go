package exchange_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// unknown hides the length of a body.
func unknown(r io.Reader) io.Reader { return struct{ io.Reader }{r} }

func TestHeadOfARequest(t *testing.T) {
	s := newSite(t, options{})
	s.clients(t, func(t *testing.T, c *http.Client) {
		_, got := s.do(t, c, "PROPFIND", "/svc/talk/seen?q=%2f&q", nil, func(r *http.Request) {
			r.Host = "localhost:99"
			for name, value := range map[string]string{
				"X-Forwarded-For": "6.6.6.6", "X-Forwarded-User": "root", "Forwarded": "for=6.6.6.6", "Ruedo-Timeout": "20s", "Te": "trailers",
				"X-Mine": "1", "Proxy-Authorization": "x", "Authorization": "Bearer x", "Cookie": "a=b",
			} {
				r.Header.Set(name, value)
			}
			if c == s.H1 {
				r.Header["Connection"] = []string{"X-Drop"}
				r.Header.Set("Te", "trailers, deflate")
				r.Header.Set("X-Drop", "1")
				r.Header.Set("Keep-Alive", "5")
			}
		})
		for _, want := range []string{
			"PROPFIND /seen?q=%2f&q localhost:99 HTTP/", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Host: localhost:99\r\n", "X-Forwarded-Proto: http\r\n",
			"X-Forwarded-Prefix: /svc/talk\r\n", "Te: trailers\r\n", "X-Mine: 1\r\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
		for _, bad := range []string{"6.6.6.6", "root", "Ruedo-", "Proxy-", "X-Drop", "Keep-Alive", "deflate", "Authorization", "Cookie"} {
			if strings.Contains(got, bad) {
				t.Errorf("%q in\n%s", bad, got)
			}
		}
	})
	t.Run("a token in the address", func(t *testing.T) {
		for _, path := range []string{"/svc/talk/seen?token=ruedo_t_7kq2m3x4tb_abc", "/svc/talk/seen/ruedo%5Ft_7kq2m3x4tb_abc"} {
			res, got := s.do(t, s.H1, "GET", path, nil, nil)
			if res.StatusCode != http.StatusBadRequest || !strings.Contains(got, "REQUEST_INVALID") || !strings.Contains(got, `"started":"no"`) || strings.Contains(got, "7kq2m3x4tb") {
				t.Errorf("%s: %s %s", path, res.Status, got)
			}
		}
	})
	t.Run("the path", func(t *testing.T) {
		for path, want := range map[string]string{
			"/svc/talk/":                   "GET / ",
			"/svc/%74alk/seen":             "GET /seen ",
			"/svc/talk/seen/../a//b%2Fc?x": "404 page not found", // of the service's own mux, which has redirected
		} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := s.H1.Transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(res.Body)
			res.Body.Close()
			switch {
			case strings.Contains(path, ".."):
				if loc := res.Header.Get("Location"); !strings.HasPrefix(loc, "/a/b") {
					t.Errorf("%s: %s, Location %q: the service did not see the path as it was sent", path, res.Status, loc)
				}
			case path == "/svc/talk/":
				if res.StatusCode != http.StatusNotFound || res.Header.Get("Ruedo-Call-Id") == "" {
					t.Errorf("%s: %s", path, res.Status)
				}
			case !strings.HasPrefix(string(b), want):
				t.Errorf("%s: %s", path, b)
			}
		}
		res, _ := s.do(t, s.H1, "POST", "/svc/talk?x=1", strings.NewReader("x"), nil)
		if res.StatusCode != http.StatusTemporaryRedirect || res.Header.Get("Location") != "/svc/talk/?x=1" {
			t.Errorf("without a slash: %s %q", res.Status, res.Header.Get("Location"))
		}
	})
}

func TestBodies(t *testing.T) {
	s := newSite(t, options{})
	s.clients(t, func(t *testing.T, c *http.Client) {
		for _, n := range []int{0, 1, 4 << 10, 32 << 10, 32<<10 + 1, 100_000, 3 << 20} {
			for _, known := range []bool{true, false} {
				sent := strings.Repeat("0123456789abcdef", n/16+1)[:n]
				body := io.Reader(strings.NewReader(sent))
				if !known {
					body = unknown(body)
				}
				res, got := s.do(t, c, "POST", "/svc/talk/echo", body, nil)
				if res.StatusCode != http.StatusOK || got != sent {
					t.Errorf("%d bytes, known %t: %s, %d bytes", n, known, res.Status, len(got))
				}
				if n <= 32<<10 && res.ContentLength != int64(n) {
					t.Errorf("%d bytes: length %d of a whole answer", n, res.ContentLength)
				}
				if res.Header.Get(headers.CallID) == "" {
					t.Errorf("%d bytes: no id of the call", n)
				}
			}
		}
		for _, path := range []string{"/svc/talk/echo", "/svc/talk/count"} {
			const large = 32 << 20
			res, got := s.do(t, c, "PUT", path, bytes.NewReader(make([]byte, large)), nil)
			if want := map[bool]int{true: large, false: len("33554432 <nil>")}[strings.HasSuffix(path, "echo")]; len(got) != want {
				t.Errorf("%s of 32 MiB: %s, %d bytes, want %d", path, res.Status, len(got), want)
			}
		}
	})
	t.Run("over the limit", func(t *testing.T) {
		res, got := s.do(t, s.H1, "POST", "/svc/talk/refuse", bytes.NewReader(make([]byte, 64<<20+1)), nil)
		if res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(got, "INPUT_TOO_LARGE") {
			t.Error(res.Status, got)
		}
	})
	// The service decides what comes of a body that it cannot read to its end.
	t.Run("over the limit in the middle", func(t *testing.T) {
		const limit = 64 << 20
		if _, got := s.do(t, s.H1, "POST", "/svc/talk/count", io.LimitReader(zeros{}, limit+1), nil); got != "67108864 File too large" {
			t.Errorf("the service reads %s", got)
		}
		res, err := s.H2.Post(s.URL+"/svc/talk/echo", "", io.LimitReader(zeros{}, limit+1))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if n, err := io.Copy(io.Discard, res.Body); err == nil || n > limit {
			t.Errorf("an answer that had begun: %d bytes, %v", n, err)
		}
		if _, outcome := s.last(); outcome != fault.InputTooLarge {
			t.Errorf("the outcome is %s", outcome)
		}
	})
}

func TestAnswersWithoutABody(t *testing.T) {
	s := newSite(t, options{})
	s.clients(t, func(t *testing.T, c *http.Client) {
		for path, want := range map[string]int{"/status?n=204": 204, "/status?n=304": 304, "/status?n=404": 404} {
			for _, method := range []string{"GET", "HEAD"} {
				res, got := s.do(t, c, method, "/svc/talk"+path, nil, nil)
				body := "body"
				if want != 404 || method == "HEAD" {
					body = ""
				}
				if res.StatusCode != want || got != body || res.Header.Get("X-A") != "1" {
					t.Errorf("%s %s: %s %q", method, path, res.Status, got)
				}
			}
		}
		res, got := s.do(t, c, "HEAD", "/svc/talk/big?n=100000", nil, nil)
		if res.StatusCode != 200 || got != "" {
			t.Error(res.Status, got)
		}
	})
}

func TestEvents(t *testing.T) {
	s := newSite(t, options{})
	s.clients(t, func(t *testing.T, c *http.Client) {
		before, _ := s.last()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/svc/talk/events?n=3&stay", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		want := "data: 0\n\ndata: 1\n\ndata: 2\n\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(res.Body, got); string(got) != want || err != nil {
			t.Fatalf("%q %v", got, err)
		}
		if n, _ := s.last(); n != before {
			t.Error("the call is over while it streams")
		}
		leave()
		testkit.Eventually(t, "the call ends with its caller", func() bool { n, _ := s.last(); return n > before })
	})
}

func TestBothDirectionsAtOnce(t *testing.T) {
	s := newSite(t, options{})
	s.clients(t, func(t *testing.T, c *http.Client) {
		if c == s.H1 {
			conn := s.raw(t)
			fmt.Fprintf(conn, "POST /svc/talk/lines HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n", s.Addr)
			r := bufio.NewReader(conn)
			fmt.Fprintf(conn, "2\r\n0\n\r\n")
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(res.Body)
			for i := range 20 {
				if line, err := in.ReadString('\n'); line != fmt.Sprintf("> %d\n", i%10) || err != nil {
					t.Fatalf("%q %v", line, err)
				}
				fmt.Fprintf(conn, "2\r\n%d\n\r\n", (i+1)%10)
			}
			fmt.Fprintf(conn, "0\r\n\r\n")
			if _, err := io.ReadAll(in); err != nil {
				t.Error(err)
			}
			return
		}
		body, out := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/svc/talk/lines", body)
		if err != nil {
			t.Fatal(err)
		}
		first := make(chan struct{})
		go func() {
			defer close(first)
			_, _ = io.WriteString(out, "0\n")
		}()
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		<-first
		in := bufio.NewReader(res.Body)
		for i := range 20 {
			if line, err := in.ReadString('\n'); line != fmt.Sprintf("> %d\n", i) || err != nil {
				t.Fatalf("%q %v", line, err)
			}
			fmt.Fprintln(out, i+1)
		}
		out.Close()
		if _, err := io.ReadAll(in); err != nil {
			t.Error(err)
		}
	})
}

func TestTrailers(t *testing.T) {
	s := newSite(t, options{})
	s.clients(t, func(t *testing.T, c *http.Client) {
		for _, query := range []string{"", "?flush"} {
			for _, size := range []int{0, 3, 100_000} {
				res, got := s.do(t, c, "POST", "/svc/talk/trailers"+query, unknown(strings.NewReader(strings.Repeat("x", size))), func(r *http.Request) {
					r.Trailer = http.Header{"X-Sum": {"7"}}
					r.Header.Set("Te", "trailers")
				})
				if streamed := query != "" && size > 0; streamed && (res.Trailer.Get(headers.CPUTime) == "" || res.Trailer.Get(headers.CallID) != res.Header.Get(headers.CallID)) {
					t.Errorf("%d bytes%s: the trailers do not say what the call took: %v", size, query, res.Trailer)
				}
				if len(got) != size || res.Trailer.Get("X-Declared") != "1" || res.Trailer.Get("X-Late") != "2" || res.Trailer.Get("X-Of-Request") != "7" {
					t.Errorf("%d bytes%s: %d bytes, trailers %v", size, query, len(got), res.Trailer)
				}
				if n := len(res.Trailer["X-Declared"]); n != 1 {
					t.Errorf("a declared trailer came %d times", n)
				}
			}
		}
	})
}

func TestAFailureIsNotAnEnd(t *testing.T) {
	s := newSite(t, options{})
	s.clients(t, func(t *testing.T, c *http.Client) {
		res, got := s.do(t, c, "GET", "/svc/talk/panic", nil, nil)
		if res.StatusCode != http.StatusInternalServerError || !strings.Contains(got, `"reason":"GUEST_ERROR"`) || !strings.Contains(got, "boo") {
			t.Error(res.Status, got)
		}
		late, err := c.Get(s.URL + "/svc/talk/panic?late")
		if err != nil {
			t.Fatal(err)
		}
		defer late.Body.Close()
		if b, err := io.ReadAll(late.Body); string(b) != "beginning" || err == nil {
			t.Errorf("%q, %v: the answer looks complete", b, err)
		}
		began := time.Now()
		res, got = s.do(t, c, "GET", "/svc/talk/sleep", nil, func(r *http.Request) { r.Header.Set(headers.Timeout, "50ms") })
		if res.StatusCode != http.StatusGatewayTimeout || time.Since(began) > 10*time.Second {
			t.Error(res.Status, got)
		}
	})
}

// The answer does not say it, because it has begun.
func TestTheLogSaysWhyAnAnswerBrokeOff(t *testing.T) {
	var log testkit.Log
	s := newSite(t, options{log: log.Logger(), wrap: func(next executor.Executor) executor.Executor {
		return executor.Func(func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
			_, err := next.Execute(ctx, req)
			return nil, cmp.Or(err, error(fault.Wrap(errors.New("what it was"), fault.Internal, "internal error")))
		})
	}})
	s.clients(t, func(t *testing.T, c *http.Client) {
		res, err := c.Get(s.URL + "/svc/talk/events?n=1")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Error("the answer looks complete")
		}
		testkit.Eventually(t, "it is in the log", func() bool {
			id := "call_id=" + res.Header.Get(headers.CallID)
			return strings.Contains(log.String(), id+` reason=INTERNAL error="internal error" cause="what it was"`)
		})
	})
}
