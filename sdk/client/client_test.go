package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// modules is a module service in memory that can break off uploads.
type modules struct {
	ruedov1connect.UnimplementedModuleServiceHandler
	mu      sync.Mutex
	stored  map[string][]byte
	parts   int
	refuse  error // returned after the head
	uploads int
}

func (m *modules) StatModule(_ context.Context, req *ruedov1.StatModuleRequest) (*ruedov1.StatModuleResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.stored[req.Digest]
	if !ok {
		return nil, faultrpc.ToConnect(fault.New(fault.ModuleNotFound, "no module %s", req.Digest))
	}
	return &ruedov1.StatModuleResponse{Module: &ruedov1.Module{Digest: req.Digest, SizeBytes: uint64(len(b))}}, nil
}

func (m *modules) UploadModule(_ context.Context, stream *connect.ClientStream[ruedov1.UploadModuleRequest]) (*ruedov1.UploadModuleResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uploads++
	if !stream.Receive() {
		return nil, stream.Err()
	}
	head := stream.Msg().GetHead()
	if m.refuse != nil {
		return nil, faultrpc.ToConnect(m.refuse)
	}
	var got []byte
	for stream.Receive() {
		m.parts++
		got = append(got, stream.Msg().GetData()...)
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if d := client.Digest(got); d != head.Digest {
		return nil, faultrpc.ToConnect(fault.New(fault.DigestMismatch, "digest is %s, not %s", d, head.Digest))
	}
	m.stored[head.Digest] = got
	return &ruedov1.UploadModuleResponse{Module: &ruedov1.Module{Digest: head.Digest}}, nil
}

// echo returns a call's input, or what the input asks for.
type echo struct {
	ruedov1connect.UnimplementedInvokeServiceHandler
}

func (echo) Invoke(ctx context.Context, req *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	info := &ruedov1.CallInfo{CallId: "c1", Runner: "r1", Logs: []byte("said\n")}
	switch req.Service {
	case "refused":
		e := fault.New(fault.InputInvalid, "the input does not fit").WithFix("ruedo call refused --use")
		e.Fields = []fault.Field{{Path: "name", Description: "is missing"}}
		e.Details = []any{info}
		return nil, faultrpc.ToConnect(e)
	case "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &ruedov1.InvokeResponse{
		Payload:     &ruedov1.InvokeResponse_Bytes{Bytes: req.GetBytes()},
		ContentType: req.ContentType,
		Info:        info,
	}, nil
}

func serve(t *testing.T, mods *modules) *client.Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewModuleServiceHandler(mods))
	mux.Handle(ruedov1connect.NewInvokeServiceHandler(echo{}))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return newClient(t, s.URL)
}

func newClient(t *testing.T, url string) *client.Client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return client.New(url, client.WithHTTPClient(&http.Client{Transport: tr}))
}

func TestUploadSendsOnce(t *testing.T) {
	mods := &modules{stored: map[string][]byte{}}
	c := serve(t, mods)
	wasm := bytes.Repeat([]byte("0123456789abcdef"), 70_000) // 1.12 MB: five parts
	var last, total int64
	steps := 0
	progress := func(done, all int64) {
		if done <= last {
			t.Errorf("progress went from %d to %d", last, done)
		}
		last, total, steps = done, all, steps+1
	}
	digest, err := c.Upload(t.Context(), wasm, progress)
	if err != nil {
		t.Fatal(err)
	}
	if digest != client.Digest(wasm) || !bytes.Equal(mods.stored[digest], wasm) {
		t.Error("what arrived is not what was sent")
	}
	if mods.parts != 5 || steps != 5 || last != int64(len(wasm)) || total != last {
		t.Errorf("parts=%d steps=%d done=%d/%d, want 5, 5 and %d of it", mods.parts, steps, last, total, len(wasm))
	}
	if _, err := c.Upload(t.Context(), wasm, func(int64, int64) { t.Error("a known module was sent") }); err != nil {
		t.Fatal(err)
	}
	if mods.uploads != 1 {
		t.Errorf("%d uploads, want 1", mods.uploads)
	}
}

func TestUploadRefusedThenRetried(t *testing.T) {
	mods := &modules{stored: map[string][]byte{}, refuse: fault.New(fault.UploadTooLarge, "too large")}
	c := serve(t, mods)
	wasm := make([]byte, 8<<20)
	if _, err := c.Upload(t.Context(), wasm, nil); !errors.Is(err, fault.UploadTooLarge) {
		t.Fatalf("err = %v, want UPLOAD_TOO_LARGE", err)
	}
	mods.mu.Lock()
	mods.refuse = nil
	mods.mu.Unlock()
	if _, err := c.Upload(t.Context(), wasm, nil); err != nil {
		t.Fatalf("the upload made again: %v", err)
	}
}

func TestCall(t *testing.T) {
	c := serve(t, &modules{})
	in := []byte{0, 1, 2, 255}
	res, err := c.Call(t.Context(), "echo", in, client.WithContentType("image/png"), client.WithLogs())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(res.Output, in) || res.ContentType != "image/png" || res.Info.Runner != "r1" {
		t.Errorf("got %+v", res)
	}
}

func TestCallRefused(t *testing.T) {
	c := serve(t, &modules{})
	_, err := c.Call(t.Context(), "refused", nil)
	if !errors.Is(err, fault.InputInvalid) {
		t.Fatalf("err = %v, want INPUT_INVALID", err)
	}
	if !strings.HasSuffix(err.Error(), ": name is missing") {
		t.Errorf("the text names no field: %v", err)
	}
	p := client.Explain(err)
	if p.Code != connect.CodeInvalidArgument || p.Fields["name"] != "is missing" || p.Fix == "" {
		t.Errorf("Explain = %+v", p)
	}
	if info := client.InfoOf(err); string(info.GetLogs()) != "said\n" {
		t.Errorf("InfoOf = %v", info)
	}
}

func TestDeadline(t *testing.T) {
	c := serve(t, &modules{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, "slow", nil); !errors.Is(err, fault.Deadline) {
		t.Errorf("err = %v, want DEADLINE", err)
	}
}

func TestUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	website := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>hello</html>")
	}))
	t.Cleanup(website.Close)
	hangup := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(hangup.Close)
	for _, tt := range []struct{ name, url, says string }{
		{"nothing listens", addr, "no core answers at http://" + addr + ": connection refused"},
		{"a web site", website.URL, "is not a core"},
		{"hangs up", hangup.URL, "broke"},
		{"unknown path", website.URL + "/nothing", "is not a core"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, tt.url)
			_, err := c.Call(t.Context(), "greet", nil)
			check(t, "call", err, tt.says)
			if got := client.Explain(err).NotStarted; got != (tt.url == addr) {
				t.Errorf("NotStarted is %v", got)
			}
			_, err = c.Upload(t.Context(), []byte("x"), nil)
			check(t, "upload", err, tt.says)
		})
	}
}

func check(t *testing.T, what string, err error, says string) {
	t.Helper()
	if !errors.Is(err, fault.CoreUnreachable) {
		t.Fatalf("%s: err = %v, want CORE_UNREACHABLE", what, err)
	}
	if p := client.Explain(err); !strings.Contains(p.Message, says) || p.Fix == "" {
		t.Errorf("%s: message %q, fix %q; want a fix and %q", what, p.Message, p.Fix, says)
	}
}
