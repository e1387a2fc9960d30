package gateway_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/gateway"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
)

func TestAFunctionSeesItsCaller(t *testing.T) {
	caller := "not called"
	execute := executor.Func(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		caller = req.GetCaller()
		return &runnerv1.ExecuteResponse{}, nil
	})
	m := coretest.NewMirror()
	m.Set(nil, coretest.Service("echo", 7))
	ada := func(*http.Request, string, string) (*access.Principal, *fault.Error) {
		return &access.Principal{Name: "user/ada", Grants: access.Set{access.Everything}}, nil
	}
	for want, cfg := range map[string]port.Config{"user/ada": {Identify: ada}, "": {}} {
		server := port.New(cfg)
		gateway.Mount(server, coretest.NewInvoker(m, execute), asIs, slog.New(slog.DiscardHandler))
		w := answer(server.Handler(), httptest.NewRequest(http.MethodPost, "http://127.0.0.1/call/echo", nil))
		if w.Code != http.StatusOK || caller != want {
			t.Errorf("it is called by %q, want %q: %d %s", caller, want, w.Code, w.Body)
		}
	}
}
