package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/middleware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// invoke is a handler that fails as a test needs.
type invoke func() error

func (f invoke) Invoke(context.Context, *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	return nil, f()
}

func chain(log *slog.Logger, maxBytes int) middleware.Chain {
	return middleware.Chain{Procedure: "Invoke", MaxBytes: maxBytes, Logger: log, Count: func(context.Context, fault.Reason) {}}
}

func serve(t *testing.T, log *slog.Logger, h ruedov1connect.InvokeServiceHandler) ruedov1connect.InvokeServiceClient {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewInvokeServiceHandler(h, chain(log, 1<<10).Options()...))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return ruedov1connect.NewInvokeServiceClient(srv.Client(), srv.URL)
}

func TestTheChainAroundEveryHandler(t *testing.T) {
	good := &ruedov1.InvokeRequest{Service: "s"}
	for _, tt := range []struct {
		name    string
		handler func() error
		req     *ruedov1.InvokeRequest
		want    fault.Reason
		logged  string // what callers are not told
	}{
		{"a reason passes", func() error { return fault.New(fault.NoRunner, "none") }, good, fault.NoRunner, ""},
		{"an error without one tells nothing", func() error { return errors.New("hunter2") }, good, fault.Internal, "hunter2"},
		{"a panic is one failed call", func() error { panic("hunter2") }, good, fault.Internal, "hunter2"},
		{"a request that breaks its rules never arrives", func() error { panic("reached") }, &ruedov1.InvokeRequest{Service: "A B"}, fault.RequestInvalid, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			client := serve(t, slog.New(slog.NewTextHandler(&log, nil)), invoke(tt.handler))
			_, err := client.Invoke(t.Context(), tt.req)
			e := faultrpc.FromError(err)
			if e.Reason != tt.want {
				t.Fatalf("%s: %v", e.Reason, err)
			}
			if tt.want == fault.RequestInvalid && (len(e.Fields) != 1 || e.Fields[0].Path != "service") {
				t.Errorf("fields %v", e.Fields)
			}
			if strings.Contains(e.Error(), "hunter2") {
				t.Errorf("the caller is told: %v", e)
			}
			if !strings.Contains(log.String(), tt.logged) || tt.logged == "" && log.Len() > 0 {
				t.Errorf("log: %s", log.String())
			}
			if tt.logged != "" && (e.Meta["id"] == "" || !strings.Contains(log.String(), e.Meta["id"])) {
				t.Errorf("the log line is not to be found by the id %q", e.Meta["id"])
			}
		})
	}
}

func TestAMessageOverTheBoundIsRefused(t *testing.T) {
	client := serve(t, slog.New(slog.DiscardHandler), invoke(func() error { panic("reached") }))
	_, err := client.Invoke(t.Context(), &ruedov1.InvokeRequest{Service: "s", Payload: &ruedov1.InvokeRequest_Bytes{Bytes: make([]byte, 2<<10)}})
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Error(err)
	}
}
