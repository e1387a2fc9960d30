package port_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// who says who a request is of.
var who = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if q := access.Of(r.Context()); q != nil {
		fmt.Fprintf(w, "%s from %s via %s over %s", q.Name, q.From, q.Via, r.Proto)
		return
	}
	fmt.Fprint(w, "nobody")
})

// byHeader lets a request say who it is of.
func byHeader(r *http.Request, _, _ string) (*access.Principal, *fault.Error) {
	switch name := r.Header.Get("Authorization"); name {
	case "bad":
		return nil, access.Unauthenticated()
	case "":
		return nil, nil
	default:
		return &access.Principal{Name: name}, nil
	}
}

func TestAHandlerKnowsWhoARequestIsOf(t *testing.T) {
	got := tally{}
	reached := 0
	s := port.New(port.Config{Identify: byHeader, Count: got.of})
	s.Handle("POST /who", "who", access.Own(), port.Bounds{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached++; who(w, r) }))
	s.Handle("POST /watch", "watch", access.Own(), port.Bounds{Stream: true}, who)
	s.HandleRaw("/svc/", "svc", access.Own(), port.Bounds{}, who)
	mounted(nil)(s)
	for _, c := range []struct{ path, authorization, want, counted string }{
		{"/who", "user/ada", "user/ada from  via memory over HTTP/1.1", "who "},
		{"/who", "", "nobody", "who "},
		{"/who", "bad", `"reason":"UNAUTHENTICATED"`, "who UNAUTHENTICATED"},
		{"/watch", "user/ada", "user/ada from  via memory", "watch "},
		{"/watch", "bad", `"reason":"UNAUTHENTICATED"`, "watch UNAUTHENTICATED"},
		{"/svc/x", "bad", `"reason":"UNAUTHENTICATED"`, "svc UNAUTHENTICATED"},
		{"/none", "bad", `"reason":"UNAUTHENTICATED"`, " UNAUTHENTICATED"},
		{ruedov1connect.InvokeServiceInvokeProcedure, "bad", `{"code":"unauthenticated"`, "Invoke UNAUTHENTICATED"},
	} {
		clear(got)
		req := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader("{}"))
		req.Host = "localhost"
		req.Header.Set("Authorization", c.authorization)
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if !strings.Contains(w.Body.String(), c.want) || got[c.counted] != 1 || len(got) != 1 {
			t.Errorf("%s of %q: %s, counted %v", c.path, c.authorization, w.Body, got)
		}
		if c.authorization == "bad" && w.Code != http.StatusUnauthorized {
			t.Errorf("%s: status %d", c.path, w.Code)
		}
	}
	if reached != 2 {
		t.Errorf("the handler was reached %d times", reached)
	}
}

// A host that is not the server's is refused before anybody is asked who it is.
func TestAForeignHostIsRefusedFirst(t *testing.T) {
	s := port.New(port.Config{Identify: func(*http.Request, string, string) (*access.Principal, *fault.Error) {
		t.Error("asked")
		return nil, nil
	}})
	s.Handle("POST /who", "who", access.Own(), port.Bounds{}, who)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://evil.example/who", nil))
	if w.Code != http.StatusForbidden {
		t.Error(w.Code)
	}
}

func TestWithoutALoginEverybodyIsTheUserOfTheProcess(t *testing.T) {
	s := port.New(port.Config{})
	s.Handle("POST /who", "who", access.Own(), port.Bounds{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := access.Of(r.Context())
		fmt.Fprint(w, strings.HasPrefix(q.Name, "local/"), q.Assumed, access.Check(r.Context(), access.Write, access.User, "ada"))
	}))
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://localhost/who", nil))
	if w.Body.String() != "true true <nil>" {
		t.Error(w.Body)
	}
}

// invoker says which service was called.
type invoker struct{ called *string }

func (i invoker) Invoke(_ context.Context, req *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	*i.called = req.Service
	return &ruedov1.InvokeResponse{}, nil
}

// The rule of a procedure is asked before its message is checked: who may not call it
// does not learn what a good message is.
func TestARuleComesBeforeTheMessageIsChecked(t *testing.T) {
	got := tally{}
	var procedures []string
	s := port.New(port.Config{Count: got.of, Rule: func(spec connect.Spec) (*access.Rule, connect.HandlerOption) {
		procedures = append(procedures, spec.Procedure)
		return access.Needs(access.Call, access.Service), connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
			return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
				if name := req.Any().(*ruedov1.InvokeRequest).Service; strings.Contains(name, "team-b") {
					return nil, fault.New(fault.PermissionDenied, "%s may not", access.Of(ctx).Name)
				}
				return next(ctx, req)
			}
		}))
	}})
	var called string
	s.Connect(port.Bounds{Message: 1 << 10, Weight: 8}, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewInvokeServiceHandler(invoker{&called}, opts...)
	}, nil)
	if len(procedures) != 1 || procedures[0] != ruedov1connect.InvokeServiceInvokeProcedure {
		t.Errorf("rules for %q", procedures)
	}
	front := httptest.NewServer(s.Handler())
	defer front.Close()
	client := ruedov1connect.NewInvokeServiceClient(front.Client(), front.URL)
	for service, want := range map[string]fault.Reason{"team-a": "", "team-b": fault.PermissionDenied, "team-b NOT VALID": fault.PermissionDenied, "NOT VALID": fault.RequestInvalid} {
		clear(got)
		called = ""
		_, err := client.Invoke(t.Context(), &ruedov1.InvokeRequest{Service: service})
		if (want == "") != (err == nil) || err != nil && faultrpc.FromError(err).Reason != want {
			t.Errorf("%s: %v", service, err)
		}
		if got["Invoke "+string(want)] != 1 || (called != "") != (want == "") {
			t.Errorf("%s: counted %v, called %q", service, got, called)
		}
	}
}

// Who a request is of is part of the exchange.
func TestAskingWhoARequestIsOfAllocatesNothing(t *testing.T) {
	s := port.New(port.Config{})
	s.Handle("POST /who", "who", access.Own(), port.Bounds{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if n := testing.AllocsPerRun(100, func() {
			if access.Of(ctx) == nil {
				t.Error("nobody")
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
		_, _ = io.WriteString(w, "ok")
	}))
	w := httptest.NewRecorder()
	if s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://localhost/who", nil)); w.Body.String() != "ok" {
		t.Error(w.Body)
	}
}

// Whoever may not have a route is told so before its handler, and before the body is
// read. A route that is open asks nobody who they are.
func TestARouteIsAskedBeforeItsBodyIsRead(t *testing.T) {
	s := port.New(port.Config{
		Identify: func(r *http.Request, _, _ string) (*access.Principal, *fault.Error) {
			if r.Header.Get("Authorization") != "" {
				return nil, access.Unauthenticated()
			}
			return &access.Principal{Name: "user/ada"}, nil
		},
		Allow: func(ctx context.Context, rule *access.Rule) error {
			if rule.GetOwn() {
				return nil
			}
			return access.CheckSome(ctx, rule.GetVerb(), rule.GetNoun())
		},
	})
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, access.Of(r.Context()).Name) // the caller is gone
	})
	s.Handle("POST /open", "open", access.Open(), port.Bounds{}, answer)
	s.Handle("POST /own", "own", access.Own(), port.Bounds{}, answer)
	s.Handle("POST /metrics", "metrics", access.Needs(access.Read, access.Cluster), port.Bounds{}, answer)
	s.HandleRaw("/svc/", "svc", access.Needs(access.Call, access.Service), port.Bounds{}, answer)
	for _, c := range []struct {
		path, shown string
		status      int
		answer      string
	}{
		{"/open", "", 200, "anonymous"}, {"/open", "bad", 200, "anonymous"}, {"/own", "", 200, "user/ada"}, {"/own", "bad", 401, "UNAUTHENTICATED"},
		{"/metrics", "", 403, "read cluster"}, {"/svc/x/", "", 403, "call service"}, {"/nothing", "", 404, "not found"}, {"/nothing", "bad", 401, "UNAUTHENTICATED"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "http://localhost"+c.path, unreadable{t})
		if c.shown != "" {
			r.Header.Set("Authorization", c.shown)
		}
		s.Handler().ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s %s: %d %s", c.path, c.shown, w.Code, w.Body)
		}
	}
	for _, r := range s.Routes() {
		if r.Rule == nil {
			t.Errorf("%s has no rule", r.Pattern)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a route without a rule was mounted")
		}
	}()
	s.Handle("GET /x", "x", nil, port.Bounds{}, answer)
}

// unreadable is a body that nobody may read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}
