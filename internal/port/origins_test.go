package port_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/port/origins"
)

// Pages of these origins can use what the server has for itself. What handlers of
// others answer, they say themselves.
func TestPagesOfOriginsThatAreAllowed(t *testing.T) {
	const page = "https://app.example.com"
	allowed, err := origins.Parse([]string{page, "http://localhost:5173"})
	if err != nil {
		t.Fatal(err)
	}
	guest := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://of-the-guest.example")
		_, _ = w.Write([]byte("guest " + r.Method))
	})
	var outcomes []fault.Reason
	count := func(string) func(fault.Reason) {
		return func(outcome fault.Reason) { outcomes = append(outcomes, outcome) }
	}
	unauthenticated := func(*http.Request, string, string) (*access.Principal, *fault.Error) {
		return nil, access.Unauthenticated()
	}
	newServer := func(cfg port.Config) *port.Server {
		s := port.New(cfg)
		mounted(nil)(s)
		s.HandleRaw("/svc/", "svc", access.Own(), port.Bounds{}, guest)
		s.HandleRest("svc", access.Own(), port.Bounds{}, func(r *http.Request) bool { return r.URL.Path == "/hooks" }, guest)
		return s
	}
	open := newServer(port.Config{Origins: allowed, Cluster: "blue", Count: count})
	closed := newServer(port.Config{Cluster: "blue"})
	locked := newServer(port.Config{Origins: allowed, Identify: unauthenticated})
	do := func(s *port.Server, method, url, origin string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, url, http.NoBody)
		if method == http.MethodPost {
			r = httptest.NewRequest(method, url, strings.NewReader(`{"service":"s"}`))
			r.Header.Set("Content-Type", "application/json")
		}
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w
	}
	const (
		procedure = "http://core:7833" + ruedov1connect.InvokeServiceInvokeProcedure
		echo      = "http://core:7833/echo"
		svc       = "http://core:7833/svc/talk/"
		hooks     = "http://core:7833/hooks"
	)
	preflight := []string{
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,connect-protocol-version,connect-timeout-ms,content-type,ruedo-timeout",
	}

	t.Run("the answer", func(t *testing.T) {
		for _, url := range []string{procedure, echo} {
			w := do(open, "POST", url, page)
			h := w.Header()
			if w.Code != http.StatusOK || h.Get("Access-Control-Allow-Origin") != page || !slices.Contains(h.Values("Vary"), "Origin") {
				t.Errorf("%s: %d %v %s", url, w.Code, h, w.Body)
			}
			exposed := strings.ToLower(h.Get("Access-Control-Expose-Headers"))
			for _, name := range []string{headers.CallID, headers.StoreRevision, "Retry-After", "Grpc-Status"} {
				if !strings.Contains(exposed, strings.ToLower(name)) {
					t.Errorf("%s: %s is not exposed: %s", url, name, exposed)
				}
			}
			if h.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("cookies may come along")
			}
			if w := do(open, "POST", url, "https://evil.example"); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "server.origins") || w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("another page: %d %v %s", w.Code, w.Header(), w.Body)
			}
			for _, origin := range []string{"null", "http://app.example.com", "https://app.example.com:8443", "https://app.example.com.evil.example"} {
				if w := do(open, "POST", url, origin); w.Code != http.StatusForbidden || w.Header().Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s: %d %v", origin, w.Code, w.Header())
				}
			}
		}
	})
	t.Run("a page reads why it is refused", func(t *testing.T) {
		for want, w := range map[fault.Reason]*httptest.ResponseRecorder{
			fault.HostNotAllowed:  do(open, "POST", "http://elsewhere.example/echo", page),
			fault.ClusterMismatch: do(open, "POST", echo, page, headers.Cluster, "green"),
			fault.Unauthenticated: do(locked, "POST", echo, page),
		} {
			if !strings.Contains(w.Body.String(), string(want)) || w.Header().Get("Access-Control-Allow-Origin") != page {
				t.Errorf("%s: %d %v %s", want, w.Code, w.Header(), w.Body)
			}
		}
	})
	t.Run("preflights", func(t *testing.T) {
		for _, s := range []*port.Server{open, locked} { // which have no token
			for _, url := range []string{procedure, "http://core:7833/preflight"} {
				w := do(s, "OPTIONS", url, page, preflight...)
				h := w.Header()
				if url != procedure {
					if h.Get("Access-Control-Allow-Origin") != "" {
						t.Errorf("%s does not exist: %d %v", url, w.Code, h)
					}
					continue
				}
				if w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != page || h.Get("Access-Control-Allow-Methods") != "POST" ||
					h.Get("Access-Control-Allow-Headers") != preflight[3] || h.Get("Access-Control-Max-Age") != "7200" || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin") {
					t.Errorf("%s: %d %v", url, w.Code, h)
				}
			}
		}
		for what, w := range map[string]*httptest.ResponseRecorder{
			"another page":   do(open, "OPTIONS", procedure, "https://evil.example", preflight...),
			"null":           do(open, "OPTIONS", procedure, "null", preflight...),
			"another method": do(open, "OPTIONS", procedure, page, "Access-Control-Request-Method", "DELETE"),
			"another field":  do(open, "OPTIONS", procedure, page, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "cookie2"),
		} {
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("%s: %v", what, w.Header())
			}
		}
	})
	t.Run("guests speak for themselves", func(t *testing.T) {
		for _, url := range []string{svc, hooks} {
			for _, w := range []*httptest.ResponseRecorder{do(open, "POST", url, page), do(open, "OPTIONS", url, page, preflight...)} {
				if got := w.Header().Values("Access-Control-Allow-Origin"); !slices.Equal(got, []string{"https://of-the-guest.example"}) || w.Header().Get("Vary") != "" || !strings.HasPrefix(w.Body.String(), "guest") {
					t.Errorf("%s: %d %v %s", url, w.Code, w.Header(), w.Body)
				}
			}
			if w := do(open, "POST", url, "https://evil.example"); w.Code != http.StatusForbidden {
				t.Errorf("%s for another page: %d", url, w.Code)
			}
		}
	})
	t.Run("nothing is allowed by default", func(t *testing.T) {
		for _, w := range []*httptest.ResponseRecorder{do(closed, "POST", echo, page), do(closed, "OPTIONS", procedure, page, preflight...), do(closed, "POST", echo, "http://core:7833", "Sec-Fetch-Site", "same-origin")} {
			for name := range w.Header() {
				if name == "Vary" || strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%d %v", w.Code, w.Header())
				}
			}
		}
	})
	if !slices.Contains(outcomes, fault.OriginNotAllowed) || !slices.Contains(outcomes, fault.HostNotAllowed) {
		t.Errorf("counted: %v", outcomes)
	}
}

// No preflight has a body, so one that has is bounded as every request is.
func TestAPreflightWithABodyIsNone(t *testing.T) {
	allowed, err := origins.Parse([]string{"https://app.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	s := port.New(port.Config{Origins: allowed})
	mounted(nil)(s)
	r := httptest.NewRequest(http.MethodOptions, ruedov1connect.InvokeServiceInvokeProcedure, strings.NewReader("x"))
	r.Host = "localhost"
	r.Header.Set("Origin", "https://app.example.com")
	r.Header.Set("Access-Control-Request-Method", "POST")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
