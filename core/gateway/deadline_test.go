package gateway_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
)

func TestACallerSaysHowLongItWaits(t *testing.T) {
	var left time.Duration
	handler := front(func(ctx context.Context, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		if left < 100*time.Millisecond {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &runnerv1.ExecuteResponse{}, nil
	})
	own := executor.DefaultMaxWait + 10*time.Second + 2*time.Second // without the header
	for _, c := range []struct {
		header []string
		status int
		most   time.Duration
		says   string
	}{
		{nil, http.StatusOK, own, ""},
		{[]string{"1.5s"}, http.StatusOK, 1500 * time.Millisecond, ""},
		{[]string{"24h"}, http.StatusOK, own, ""}, // the service's own limits hold
		{[]string{"20ms"}, http.StatusGatewayTimeout, 20 * time.Millisecond, "DEADLINE"},
		{[]string{""}, http.StatusBadRequest, 0, "1.5s"},
		{[]string{"5"}, http.StatusBadRequest, 0, "1.5s"},
		{[]string{"-1s"}, http.StatusBadRequest, 0, "up to 24h"},
		{[]string{"0s"}, http.StatusBadRequest, 0, "up to 24h"},
		{[]string{"25h"}, http.StatusBadRequest, 0, "up to 24h"},
		{[]string{"1s", "2s"}, http.StatusBadRequest, 0, "and another one"},
		{[]string{strings.Repeat("1", 5000)}, http.StatusBadRequest, 0, "1.5s"},
	} {
		left = 0
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/call/echo", strings.NewReader("x"))
		if c.header != nil {
			r.Header["Ruedo-Timeout"] = c.header
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || w.Body.Len() > 1000 {
			t.Errorf("%.20q: %d %.500s", c.header, w.Code, w.Body)
		}
		if left > c.most || left < c.most-10*time.Second || c.most == 0 && left != 0 {
			t.Errorf("%.20q: %s were left, at most %s may be", c.header, left, c.most)
		}
	}
}

func TestACallThatWaitedTooLongCanBeRepeated(t *testing.T) {
	handler := front(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return nil, executor.QueueTimeout(req.GetService(), "a slot on runner r", executor.MaxWait(req))
	})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://127.0.0.1/call/echo", strings.NewReader("x")))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	for _, want := range []string{`"reason":"QUEUE_TIMEOUT"`, `"started":"no"`, `"limit":"5s"`, "waited 5s for a slot on runner r"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s does not say %s", w.Body, want)
		}
	}
}
