package middleware_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// A megabyte that inflates to a gigabyte is refused without inflating it.
func TestABombIsNotInflated(t *testing.T) {
	var member, bomb bytes.Buffer
	z, err := gzip.NewWriterLevel(&member, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(make([]byte, 8<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for range 128 {
		bomb.Write(member.Bytes())
	}
	const limit = 2 << 20
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewInvokeServiceHandler(invoke(func() error { panic("reached") }), chain(slog.New(slog.DiscardHandler), limit).Options()...))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	post := func(body []byte) (*http.Response, time.Duration) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+ruedov1connect.InvokeServiceInvokeProcedure, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/proto")
		req.Header.Set("Content-Encoding", "gzip")
		before := testkit.ProcessorTime()
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res, testkit.ProcessorTime() - before
	}
	res, took := post(bomb.Bytes())
	if res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("status %s", res.Status)
	}
	if took > time.Second {
		t.Errorf("it took %s of a processor", took)
	}
	// A message within the bound is read as usual.
	client := ruedov1connect.NewInvokeServiceClient(srv.Client(), srv.URL, connect.WithSendGzip())
	_, err = client.Invoke(t.Context(), &ruedov1.InvokeRequest{Service: "A B", Payload: &ruedov1.InvokeRequest_Bytes{Bytes: make([]byte, 1<<20)}})
	if ce, ok := errors.AsType[*connect.Error](err); !ok || ce.Code() != connect.CodeInvalidArgument {
		t.Errorf("a compressed message within the bound: %v", err)
	}
}
