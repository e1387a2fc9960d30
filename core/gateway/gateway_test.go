package gateway_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/gateway"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/core/mirror"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// memory is a mirror with one service.
type memory struct{ snapshot *mirror.Snapshot }

func (m memory) Snapshot() *mirror.Snapshot { return m.snapshot }
func (m memory) Changed() <-chan struct{}   { return nil }

// counter counts how often Begin is called.
type counter struct {
	*invoke.Invoker
	begun int
}

func (c *counter) Begin(service string) (invoke.Call, error) {
	c.begun++
	return c.Invoker.Begin(service)
}

func TestARequestResolvesItsServiceOnce(t *testing.T) {
	snapshot := &mirror.Snapshot{
		Services: map[string]*ruedov1.Service{"echo": {Name: "echo", Version: 2, Revision: &ruedov1.Revision{
			Service: "echo", Number: 7, Module: strings.Repeat("a", 64), Decorators: []string{"small"},
		}}},
		Decorators: map[string]*ruedov1.Decorator{"small": {Name: "small", Version: 1, Limits: &ruedov1.Limits{InputBytes: 8}}},
	}
	echo := executor.Func(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return &runnerv1.ExecuteResponse{Output: req.GetInput(), ContentType: req.GetContentType(), Info: &ruedov1.CallInfo{Runner: "r"}}, nil
	})
	inv := &counter{Invoker: invoke.New(invoke.Config{Catalog: catalog.New(catalog.Config{Mirror: memory{snapshot}, Executor: echo})})}
	server := port.New(port.Config{})
	gateway.Mount(server, inv, slog.New(slog.DiscardHandler))
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
		inv.begun = 0
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://127.0.0.1"+c.path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", c.what, w.Code, w.Body)
		}
		if inv.begun != 1 {
			t.Errorf("%s: resolved %d times", c.what, inv.begun)
		}
		if c.status == http.StatusOK && w.Header().Get(gateway.HeaderRevision) != "7" {
			t.Errorf("%s: revision %q", c.what, w.Header().Get(gateway.HeaderRevision))
		}
	}
}
