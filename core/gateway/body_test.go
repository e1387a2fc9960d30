package gateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
)

// TestABodyTakesNoMoreMemoryThanItIsChargedFor sends bodies of announced and of
// unknown length.
func TestABodyTakesNoMoreMemoryThanItIsChargedFor(t *testing.T) {
	var got int
	handler := front(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		got = len(req.GetInput())
		return &runnerv1.ExecuteResponse{}, nil
	})
	for _, n := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1<<20 + 1, 4 << 20} {
		body := strings.Repeat("x", n)
		for what, r := range map[string]*http.Request{
			"announced": httptest.NewRequest(http.MethodPost, "http://127.0.0.1/call/echo", strings.NewReader(body)),
			"unknown":   httptest.NewRequest(http.MethodPost, "http://127.0.0.1/call/echo", io.MultiReader(strings.NewReader(body))),
		} {
			var before, after runtime.MemStats
			w := httptest.NewRecorder()
			runtime.ReadMemStats(&before)
			handler.ServeHTTP(w, r)
			runtime.ReadMemStats(&after)
			if w.Code != http.StatusOK || got != n {
				t.Errorf("%d bytes, %s: %d, %d arrived", n, what, w.Code, got)
			}
			if took := int(after.TotalAlloc - before.TotalAlloc); what == "announced" && took > 3*n+256<<10 {
				t.Errorf("%d bytes, %s: %d bytes were allocated", n, what, took)
			}
		}
	}
}
