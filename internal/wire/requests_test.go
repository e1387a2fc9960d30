package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wire"
)

// tally counts by "procedure outcome".
type tally map[string]int

func (t tally) of(procedure string) func(fault.Reason) {
	return func(outcome fault.Reason) {
		t[procedure[strings.LastIndexByte(procedure, '/')+1:]+" "+string(outcome)]++
	}
}

// well is a handler that succeeds.
type well struct{}

func (w well) Invoke(context.Context, *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	return &ruedov1.InvokeResponse{}, nil
}

func TestEveryRequestIsCountedOnce(t *testing.T) {
	const path = ruedov1connect.InvokeServiceInvokeProcedure
	good := `{"service":"s"}`
	for _, tt := range []struct {
		name, method, path, body string
		header                   [2]string
		handler                  func() error // nil: all is well
		want                     string
	}{
		{name: "success", body: good, want: "Invoke "},
		{name: "a reason", body: good, handler: func() error { return fault.New(fault.NoRunner, "none") }, want: "Invoke NO_RUNNER"},
		{name: "no reason", body: good, handler: func() error { return errors.New("x") }, want: "Invoke INTERNAL"},
		{name: "a panic", body: good, handler: func() error { panic("x") }, want: "Invoke INTERNAL"},
		{name: "broken rules", body: `{"service":"A B"}`, want: "Invoke REQUEST_INVALID"},
		{name: "no JSON", body: `{"service":`, want: "Invoke REQUEST_INVALID"},
		{name: "too deep", body: `{"input":` + strings.Repeat("[", 400), want: "Invoke REQUEST_INVALID"},
		{name: "too large", body: `{"service":"` + strings.Repeat("x", 2<<10) + `"}`, want: "Invoke REQUEST_INVALID"},
		{name: "an encoding that is not spoken", body: good, header: [2]string{"Content-Encoding", "zstd"}, want: "Invoke UNIMPLEMENTED"},
		{name: "a type that is not spoken", body: good, header: [2]string{"Content-Type", "text/html"}, want: "Invoke REQUEST_INVALID"},
		{name: "a timeout that is none", body: good, header: [2]string{"Connect-Timeout-Ms", "soon"}, want: "Invoke REQUEST_INVALID"},
		{name: "another method", method: http.MethodPut, body: good, want: "Invoke REQUEST_INVALID"},
		{name: "no such procedure", path: path + "d", body: good, want: " UNIMPLEMENTED"},
		{name: "no such service", path: "/x.Y/Z", body: good, want: " UNIMPLEMENTED"},
		{name: "a mark of the peer's own", body: good, header: [2]string{"ruedo:unread", "x"}, want: "Invoke "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tally{}
			var h ruedov1connect.InvokeServiceHandler = well{}
			if tt.handler != nil {
				h = invoke(tt.handler)
			}
			requests := wire.NewRequests(got.of)
			mux := http.NewServeMux()
			p, handler := ruedov1connect.NewInvokeServiceHandler(h, wire.HandlerOptions(slog.New(slog.DiscardHandler), 1<<10, requests)...)
			mux.Handle(p, requests.Handler(handler))
			mux.Handle("/", requests.Handler(http.NotFoundHandler()))
			if tt.path == "" {
				tt.path = path
			}
			if tt.method == "" {
				tt.method = http.MethodPost
			}
			req := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			req.Header.Set("Content-Type", "application/json")
			if tt.header[0] != "" {
				req.Header[tt.header[0]] = []string{tt.header[1]}
			}
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, req)
			if diff := cmp.Diff(map[string]int{tt.want: 1}, maps.Collect(maps.All(got))); diff != "" {
				t.Errorf("%d %s: %s", w.Code, w.Body, diff)
			}
		})
	}
}

// unaryCall gives a function that makes one good request, without a network.
func unaryCall(t testing.TB, requests *wire.Requests) func() {
	_, h := ruedov1connect.NewInvokeServiceHandler(well{}, wire.HandlerOptions(slog.New(slog.DiscardHandler), 1<<10, requests)...)
	if requests != nil {
		h = requests.Handler(h)
	}
	b, err := proto.Marshal(&ruedov1.InvokeRequest{Service: "s"})
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.NewReader(b)
	return func() {
		body.Reset(b)
		req, err := http.NewRequest(http.MethodPost, ruedov1connect.InvokeServiceInvokeProcedure, io.NopCloser(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"User-Agent", "Connect-Protocol-Version", "Accept-Encoding", "Content-Length"} {
			req.Header[f] = nil
		}
		req.Header["Content-Type"] = []string{"application/proto"}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, req); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
	}
}

func counted() *wire.Requests {
	return wire.NewRequests(func(string) func(fault.Reason) { return func(fault.Reason) {} })
}

func TestCountingAGoodRequestAllocatesNothing(t *testing.T) {
	without := testing.AllocsPerRun(2000, unaryCall(t, nil))
	with := testing.AllocsPerRun(2000, unaryCall(t, counted()))
	if with > without {
		t.Errorf("a request that is counted allocates %v times, one that is not %v times", with, without)
	}
}

func BenchmarkRequest(b *testing.B) {
	for name, requests := range map[string]*wire.Requests{"counted": counted(), "not counted": nil} {
		b.Run(name, func(b *testing.B) {
			call := unaryCall(b, requests)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
