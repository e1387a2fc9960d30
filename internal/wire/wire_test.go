package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wire"
)

func TestMain(m *testing.M) {
	// net/http lingers half a second on a connection that it cut off.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

func TestAPortInUseIsNamedWithWhatToDo(t *testing.T) {
	l, err := wire.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = wire.Listen(l.Addr().String())
	if e := fault.Of(err); e.Reason != fault.PortInUse || !strings.Contains(e.Error(), l.Addr().String()) || !strings.Contains(e.Fix, "--port") {
		t.Errorf("%s: %v (%s)", e.Reason, e, e.Fix)
	}
	if _, err := wire.Listen("nonsense"); !errors.Is(err, fault.ConfigInvalid) {
		t.Errorf("an address that is none: %v", err)
	}
}

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:80": true, "127.8.9.1": true, "[::1]:80": true, "::1": true, "localhost:80": true, "localhost": true,
		"0.0.0.0:80": false, ":80": false, "10.0.0.1": false, "example.com:80": false, "[::]:80": false, "": false,
	} {
		if got := wire.Loopback(addr); got != want {
			t.Errorf("Loopback(%q) = %v", addr, got)
		}
	}
}

// invoke is a handler that fails as a test wants.
type invoke func() error

func (f invoke) Invoke(context.Context, *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	return nil, f()
}

func serve(t *testing.T, log *slog.Logger, h ruedov1connect.InvokeServiceHandler) ruedov1connect.InvokeServiceClient {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewInvokeServiceHandler(h, wire.HandlerOptions(log, 1<<10, nil)...))
	l, err := wire.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := wire.NewServer(mux)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return ruedov1connect.NewInvokeServiceClient(&http.Client{Transport: transport}, "http://"+l.Addr().String())
}

func TestTheOnionAroundEveryHandler(t *testing.T) {
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
			e := fault.Of(err)
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

// A slow client that sends its header byte by byte, or half of one, is cut off.
func TestHeadersThatDoNotEndAreCutOff(t *testing.T) {
	l, err := wire.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := wire.NewServer(http.NotFoundHandler())
	if srv.ReadHeaderTimeout <= 0 || srv.MaxHeaderBytes <= 0 {
		t.Fatal("the server has no bounds on headers")
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	defer func() { _ = srv.Close(); <-done }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 200<<10)); err != nil {
		t.Logf("cut off while writing: %v", err)
	}
	b, err := io.ReadAll(c)
	if err == nil && !bytes.Contains(b, []byte("431")) {
		t.Errorf("a header of 200 KiB: %.100q", b)
	}
}
