package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/gateway"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/internal/port"
)

func TestARequestResolvesItsServiceOnce(t *testing.T) {
	m := coretest.NewMirror()
	m.Set([]*ruedov1.Decorator{{Name: "small", Version: 1, Limits: &ruedov1.Limits{InputBytes: 8}}}, coretest.Service("echo", 7, "small"))
	echo := executor.Func(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return &runnerv1.ExecuteResponse{Output: req.GetInput(), ContentType: req.GetContentType(), Info: &ruedov1.CallInfo{Runner: "r"}}, nil
	})
	inv := coretest.NewInvoker(m, echo)
	server := port.New(port.Config{})
	gateway.Mount(server, inv, asIs, slog.New(slog.DiscardHandler))
	handler := server.Handler()
	for _, c := range []struct {
		what, path, body string
		status           int
		says             string
	}{
		{"a call", "/call/echo", "12345678", http.StatusOK, "12345678"},
		{"an input over the limit", "/call/echo", "123456789", http.StatusRequestEntityTooLarge, "INPUT_TOO_LARGE"},
		{"a service that does not exist", "/call/ecko", "1", http.StatusNotFound, "did you mean echo?"},
		{"a name with slashes", "/call/a/b", "1", http.StatusNotFound, "SERVICE_NOT_FOUND"},
	} {
		inv.Begun = 0
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://127.0.0.1"+c.path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", c.what, w.Code, w.Body)
		}
		if inv.Begun != 1 {
			t.Errorf("%s: resolved %d times", c.what, inv.Begun)
		}
		if c.status == http.StatusOK && w.Header().Get(headers.Revision) != "7" {
			t.Errorf("%s: revision %q", c.what, w.Header().Get(headers.Revision))
		}
	}
}

// front is the gateway before an executor.
func front(execute executor.Func, decorators ...*ruedov1.Decorator) http.Handler {
	m := coretest.NewMirror()
	var names []string
	for _, d := range decorators {
		names = append(names, d.GetName())
	}
	m.Set(decorators, coretest.Service("echo", 7, names...))
	server := port.New(port.Config{})
	gateway.Mount(server, coretest.NewInvoker(m, execute), asIs, slog.New(slog.DiscardHandler))
	return server.Handler()
}

func answer(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnAnswerSaysHowItCameAbout(t *testing.T) {
	h := front(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return &runnerv1.ExecuteResponse{Output: []byte("<b>"), ContentType: "text/html", Info: &ruedov1.CallInfo{
			Runner: "r1", Duration: durationpb.New(3 * time.Millisecond), CpuTime: durationpb.New(time.Millisecond), MemoryBytes: 65536, Fuel: 12, Cold: true,
		}}, nil
	})
	w := answer(h, httptest.NewRequest(http.MethodPost, "http://127.0.0.1/call/echo", strings.NewReader("x")))
	if w.Code != http.StatusOK || w.Body.String() != "<b>" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		headers.Runner: "r1", headers.Revision: "7", headers.Duration: "3ms", headers.CPUTime: "1ms",
		headers.Memory: "65536", headers.Fuel: "12", headers.Start: "cold",
		"Content-Type": "text/html", "Content-Length": "3",
		// A page from a guest must not act as a page of this core.
		"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if w.Header().Get(headers.CallID) == "" {
		t.Error("the answer does not name its call")
	}
}

func TestAFailureIsAnObjectWithAllThatIsKnown(t *testing.T) {
	timedOut := fault.New(fault.GuestTimeout, "stopped after 50ms").WithFix("raise timeout")
	timedOut.Details = []any{&ruedov1.CallInfo{Runner: "r1", Logs: []byte("not asked for")}}
	h := front(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		if string(req.GetInput()) == `{"name":"panic"}` {
			return nil, errors.New("/etc/ruedo is on fire")
		}
		return nil, timedOut
	}, coretest.Decorator(t, "named", 1, `{"required":["name"]}`))
	type failure struct {
		Code, Reason, Message, Fix string
		Fields                     []struct{ Field, Description string }
	}
	post := func(body string) (failure, *httptest.ResponseRecorder) {
		t.Helper()
		w := answer(h, httptest.NewRequest(http.MethodPost, "http://127.0.0.1/call/echo", strings.NewReader(body)))
		var f failure
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Header().Get("Content-Security-Policy") != "sandbox" {
			t.Errorf("%v: %d %s %v", err, w.Code, w.Body, w.Header())
		}
		return f, w
	}
	f, w := post(`{"nme":"Ada"}`)
	if w.Code != http.StatusBadRequest || f.Reason != "INPUT_INVALID" || len(f.Fields) != 1 || f.Fields[0].Field != "name" || w.Header().Get(headers.Runner) != "" {
		t.Errorf("refused by the schema: %d %+v", w.Code, f)
	}
	f, w = post(`{"name":"Ada"}`)
	if w.Code != http.StatusGatewayTimeout || f.Reason != "GUEST_TIMEOUT" || f.Message != "stopped after 50ms" || f.Fix != "raise timeout" || f.Code == "" || w.Header().Get(headers.Runner) != "r1" {
		t.Errorf("stopped: %d %+v %v", w.Code, f, w.Header())
	}
	if strings.Contains(w.Body.String(), "not asked for") {
		t.Errorf("it has the logs of the guest: %s", w.Body)
	}
	f, w = post(`{"name":"panic"}`)
	if w.Code != http.StatusInternalServerError || f.Reason != "INTERNAL" || strings.Contains(w.Body.String(), "fire") {
		t.Errorf("a fault of the core: %d %s", w.Code, w.Body)
	}
}

func TestOnlyAPostIsACall(t *testing.T) {
	h := front(func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		t.Error("it is executed")
		return nil, nil
	})
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		w := answer(h, httptest.NewRequest(method, "http://127.0.0.1/call/echo", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD, POST" || !strings.Contains(w.Body.String(), "curl -d INPUT http://127.0.0.1/call/echo") {
			t.Errorf("%s: %d %v %s", method, w.Code, w.Header(), w.Body)
		}
	}
}

// GET describes the service; it executes nothing.
func TestAGetDescribesTheService(t *testing.T) {
	h := front(func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		t.Error("it is executed")
		return nil, nil
	})
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		w := answer(h, httptest.NewRequest(method, "http://127.0.0.1/call/echo", nil))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Content-Security-Policy") != "sandbox" ||
			!strings.Contains(w.Body.String(), `"revision": 7`) {
			t.Errorf("%s: %d %v %s", method, w.Code, w.Header(), w.Body)
		}
	}
	if w := answer(h, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/call/ecko", nil)); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "did you mean echo?") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheMediaTypeOfAnInput(t *testing.T) {
	h := front(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return &runnerv1.ExecuteResponse{Output: []byte(req.GetContentType())}, nil
	})
	for sent, want := range map[string]string{
		"":                                  "application/json",
		"application/json":                  "application/json",
		"application/x-www-form-urlencoded": "application/json", // curl -d says so whatever it sends
		"broken/":                           "application/json",
		"text/csv; charset=utf-8":           "text/csv; charset=utf-8",
	} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/call/echo", strings.NewReader("x"))
		r.Header.Set("Content-Type", sent)
		if got := answer(h, r).Body.String(); got != want {
			t.Errorf("%q arrives as %q, want %q", sent, got, want)
		}
	}
}

func TestABodyEndsAtTheLimitOrWhereItBreaks(t *testing.T) {
	executed := 0
	h := front(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		executed++
		return &runnerv1.ExecuteResponse{Output: req.GetInput()}, nil
	}, &ruedov1.Decorator{Name: "small", Version: 1, Limits: &ruedov1.Limits{InputBytes: 8}})
	for _, c := range []struct {
		what, body string
		announced  int64
		status     int
		says       string
	}{
		{"announced and over the limit", "123456789", 9, http.StatusRequestEntityTooLarge, "9 bytes"},
		{"not announced and over the limit", "123456789", -1, http.StatusRequestEntityTooLarge, "more than 8 bytes"},
		{"not announced", "12345678", -1, http.StatusOK, "12345678"},
		{"shorter than announced", "123", 8, http.StatusBadRequest, "INPUT_BROKEN"},
	} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/call/echo", io.NopCloser(strings.NewReader(c.body)))
		r.ContentLength = c.announced
		if w := answer(h, r); w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", c.what, w.Code, w.Body)
		}
	}
	if executed != 1 {
		t.Errorf("%d calls were executed, want 1", executed)
	}
}

// asIs wraps a handler in nothing: what a caller has written is tested in core.
func asIs(h http.Handler) http.Handler { return h }
