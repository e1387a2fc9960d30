package faultrpc_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

func TestAnErrorOfPlainHTTPSaysWhetherTheCallHasStarted(t *testing.T) {
	refused := fault.New(fault.QueueFull, "no room")
	refused.NotStarted = true
	for want, err := range map[string]*fault.Error{
		"no":      refused,
		"unknown": fault.New(fault.RunnerLost, "lost").With("started", "unknown"),
		"":        fault.New(fault.GuestError, "it failed"),
	} {
		w := httptest.NewRecorder()
		faultrpc.WriteJSON(w, faultrpc.HTTPStatus(err), err)
		var got struct{ Meta map[string]string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Meta["started"] != want {
			t.Errorf("%s, want started %q (%v)", w.Body, want, err)
		}
	}
}

// An error is written in the protocol of its request, and is never large.
func TestErrorsAreSmallInEveryProtocol(t *testing.T) {
	long := strings.Repeat("ü", 1<<20)
	e := fault.New(fault.RequestInvalid, "%s", long).WithFix("%s", long)
	for range 1000 {
		e.Fields = append(e.Fields, fault.Field{Path: long, Description: long})
	}
	for i := range 100 {
		e.With(long[:2*i+2], long)
	}
	for _, contentType := range []string{"application/json", "application/proto", "application/connect+json", "application/grpc", "application/grpc-web", "text/html"} {
		for _, rpc := range []bool{false, true} {
			r := httptest.NewRequest(http.MethodPost, "/ruedo.v1.InvokeService/Invoke", nil)
			r.Header.Set("Content-Type", contentType)
			w := httptest.NewRecorder()
			faultrpc.WriteError(w, r, e, rpc)
			size := w.Body.Len()
			for k, vv := range w.Header() {
				size += len(k) + len(strings.Join(vv, ""))
			}
			if size > 20<<10 || size == 0 {
				t.Errorf("%s: %d bytes", contentType, size)
			}
		}
	}
}
