package port_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/port"
)

func TestMain(m *testing.M) {
	// net/http lingers for half a second on a connection that it cut off.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// serve starts a server with the routes that mount adds, and returns its
// address.
func serve(t *testing.T, cfg port.Config, mount func(*port.Server)) string {
	t.Helper()
	s := port.New(cfg)
	mount(s)
	l, err := port.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(s.Drain(ctx), s.Close(ctx)); err != nil {
			t.Errorf("the server does not end: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// echo reads a body and answers with it.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(faultrpc.HTTPStatus(faultrpc.FromError(err)))
		_, _ = io.WriteString(w, string(fault.ReasonOf(faultrpc.FromError(err))))
		return
	}
	_, _ = w.Write(b)
})

// impatient returns a configuration with short times.
func impatient() port.Config { return port.Config{Idle: 300 * time.Millisecond, Rate: 1 << 10} }

func TestAPortInUseIsNamedWithWhatToDo(t *testing.T) {
	l, err := port.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = port.Listen(l.Addr().String())
	if e := faultrpc.FromError(err); e.Reason != fault.PortInUse || !strings.Contains(e.Error(), l.Addr().String()) || !strings.Contains(e.Fix, "choose another port") {
		t.Errorf("%s: %v (%s)", e.Reason, e, e.Fix)
	}
	if _, err := port.Listen("nonsense"); !errors.Is(err, fault.ConfigInvalid) {
		t.Errorf("an address that is none: %v", err)
	}
}

// A client that sends an endless header is cut off.
func TestHeadersThatDoNotEndAreCutOff(t *testing.T) {
	addr := serve(t, port.Config{}, func(*port.Server) {})
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 200<<10)); err != nil {
		t.Logf("cut off while writing: %v", err)
	}
	b, err := io.ReadAll(c)
	if err == nil && !bytes.Contains(b, []byte("431")) {
		t.Errorf("a header of 200 KiB: %.100q", b)
	}
}

// tally counts by "procedure outcome".
type tally map[string]int

func (t tally) of(procedure string) func(fault.Reason) {
	return func(outcome fault.Reason) {
		t[procedure[strings.LastIndexByte(procedure, '/')+1:]+" "+string(outcome)]++
	}
}

// invoke is a handler that fails as a test needs, or succeeds if it is nil.
type invoke func() error

func (f invoke) Invoke(context.Context, *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	if f == nil {
		return &ruedov1.InvokeResponse{}, nil
	}
	return nil, f()
}

func mounted(h invoke) func(*port.Server) {
	return func(s *port.Server) {
		s.Connect(port.Bounds{Message: 1 << 10, Weight: 8}, func(opts ...connect.HandlerOption) (string, http.Handler) {
			return ruedov1connect.NewInvokeServiceHandler(h, opts...)
		}, nil)
		s.Handle("POST /echo", "echo", access.Own(), port.Bounds{Weight: 1}, echo)
		s.Handle("POST /panic", "panic", access.Own(), port.Bounds{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("hunter2") }))
	}
}

func TestAnAnnouncedMessageThatIsTooLargeIsNotRead(t *testing.T) {
	s := port.New(port.Config{})
	mounted(nil)(s)
	body := &untouched{}
	req := httptest.NewRequest(http.MethodPost, ruedov1connect.InvokeServiceInvokeProcedure, body)
	req.Host, req.ContentLength = "localhost", 5<<10
	req.Header.Set("Content-Type", "application/proto")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, req)
	for _, want := range []string{"resource_exhausted", "INPUT_TOO_LARGE", "has 5120 bytes", "is 1024", `"fix":`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the answer lacks %q: %d %s", want, w.Code, w.Body)
		}
	}
	if body.read {
		t.Error("the body was read")
	}
}

// untouched is a body that notices whether it is read.
type untouched struct{ read bool }

func (u *untouched) Read([]byte) (int, error) {
	u.read = true
	return 0, io.EOF
}

func TestEveryRequestIsCountedOnce(t *testing.T) {
	const path = ruedov1connect.InvokeServiceInvokeProcedure
	good := `{"service":"s"}`
	for _, tt := range []struct {
		name, method, path, body string
		header                   [2]string
		handler                  invoke
		want                     string
	}{
		{name: "success", body: good, want: "Invoke "},
		{name: "a reason", body: good, handler: func() error { return fault.New(fault.NoRunner, "none") }, want: "Invoke NO_RUNNER"},
		{name: "no reason", body: good, handler: func() error { return errors.New("x") }, want: "Invoke INTERNAL"},
		{name: "a panic", body: good, handler: func() error { panic("x") }, want: "Invoke INTERNAL"},
		{name: "broken rules", body: `{"service":"A B"}`, want: "Invoke REQUEST_INVALID"},
		{name: "no JSON", body: `{"service":`, want: "Invoke REQUEST_INVALID"},
		{name: "too deep", body: `{"input":` + strings.Repeat("[", 400), want: "Invoke REQUEST_INVALID"},
		{name: "too large", body: `{"service":"` + strings.Repeat("x", 2<<10) + `"}`, want: "Invoke INPUT_TOO_LARGE"},
		{name: "an encoding that is not spoken", body: good, header: [2]string{"Content-Encoding", "zstd"}, want: "Invoke UNIMPLEMENTED"},
		{name: "a type that is not spoken", body: good, header: [2]string{"Content-Type", "text/html"}, want: "Invoke REQUEST_INVALID"},
		{name: "a timeout that is none", body: good, header: [2]string{"Connect-Timeout-Ms", "soon"}, want: "Invoke REQUEST_INVALID"},
		{name: "another method", method: http.MethodPut, body: good, want: "Invoke REQUEST_INVALID"},
		{name: "no such procedure", path: path + "d", body: good, want: " UNIMPLEMENTED"},
		{name: "no such service", path: "/x.Y/Z", body: good, want: " UNIMPLEMENTED"},
		{name: "plain HTTP", path: "/echo", body: good, want: "echo "},
		{name: "a panic in plain HTTP", path: "/panic", body: good, want: "panic INTERNAL"},
		{name: "a field of the header that is too long", body: good, header: [2]string{"Connect-Timeout-Ms", strings.Repeat("9", 1<<10)}, want: "Invoke REQUEST_INVALID"},
		{name: "a parameter that is too long", method: http.MethodGet, path: path + "?connect=v1&compression=" + strings.Repeat("x", 1<<10), want: "Invoke REQUEST_INVALID"},
		{name: "another site's page", body: good, header: [2]string{"Origin", "http://evil.example"}, want: " ORIGIN_NOT_ALLOWED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tally{}
			s := port.New(port.Config{Count: got.of})
			mounted(tt.handler)(s)
			if tt.path == "" {
				tt.path = path
			}
			if tt.method == "" {
				tt.method = http.MethodPost
			}
			req := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			req.Host = "localhost"
			req.Header.Set("Content-Type", "application/json")
			if tt.header[0] != "" {
				req.Header[tt.header[0]] = []string{tt.header[1]}
			}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, req)
			if diff := cmp.Diff(map[string]int{tt.want: 1}, maps.Collect(maps.All(got))); diff != "" {
				t.Errorf("%d %s: %s", w.Code, w.Body, diff)
			}
		})
	}
}

func TestAPanicIsOneFailedRequestWithItsStackInTheLog(t *testing.T) {
	var log bytes.Buffer
	panics := 0
	s := port.New(port.Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Panicked: func() { panics++ }})
	mounted(nil)(s)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://localhost/panic", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "hunter2") || panics != 1 {
		t.Errorf("%d %s, %d panics", w.Code, w.Body, panics)
	}
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "hunter2") || !strings.Contains(text, "port_test.go") {
		t.Errorf("log: %s", text)
	}
}

// request returns a function that makes one valid request, without a network.
func request(t testing.TB, h http.Handler) func() {
	b, err := proto.Marshal(&ruedov1.InvokeRequest{Service: "s"})
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.NewReader(b)
	return func() {
		body.Reset(b)
		req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1"+ruedov1connect.InvokeServiceInvokeProcedure, io.NopCloser(body))
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

func bounded() http.Handler {
	s := port.New(port.Config{})
	mounted(nil)(s)
	return s.Handler()
}

func plain() http.Handler {
	_, h := ruedov1connect.NewInvokeServiceHandler(invoke(nil))
	return h
}

// All rules together cost the exchange, a copy of the request, and what the
// interceptors allocate.
func TestARequestWithinBoundsAllocatesLittle(t *testing.T) {
	without := testing.AllocsPerRun(2000, request(t, plain()))
	with := testing.AllocsPerRun(2000, request(t, bounded()))
	if with > without+7 {
		t.Errorf("a request takes %v allocations, %v without bounds", with, without)
	}
}

func BenchmarkRequest(b *testing.B) {
	for name, h := range map[string]http.Handler{"bounded": bounded(), "plain": plain()} {
		b.Run(name, func(b *testing.B) {
			call := request(b, h)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
