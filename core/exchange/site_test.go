package exchange_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/exchange"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/runner"
)

// Of all tests: a directory, what compiles, and the runner, because loading the
// service takes longest, especially with -race.
var (
	dir      string
	compiler []string
	shared   *runner.Runner
)

// cache is the directory of compiled modules.
func cache() string { return filepath.Join(dir, "cache") }

// tests are all tests, with what they share.
type tests struct{ m *testing.M }

func (t tests) Run() int {
	ctx := context.Background()
	var err error
	if compiler, err = testkit.Compiler(dir); err == nil {
		shared, err = ruedotest.FrontRunner(ctx, cache(), compiler)
	}
	if err != nil {
		panic(err)
	}
	code := t.m.Run()
	if err := shared.Close(ctx); err != nil {
		panic(err)
	}
	return code
}

func TestMain(m *testing.M) {
	var err error
	if dir, err = os.MkdirTemp("", "ruedo-exchange-test-"); err != nil {
		panic(err)
	}
	// net/http lingers for half a second on a connection that it cut off.
	goleak.VerifyTestMain(tests{m}, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// site is a port with services, which are executed in this process.
type site struct {
	URL, Addr string
	H1, H2    *http.Client
	server    *port.Server

	mu       sync.Mutex
	outcomes []fault.Reason // of calls
}

// options of a site. The zero value is that of a core.
type options struct {
	port   port.Config
	routes exchange.Routes
	passes func(service string) bool
	open   int
	idle   time.Duration // of the service
	follow func(ctx context.Context, service string, end func(why error)) (leave func())
	down   context.Context
	wrap   func(executor.Executor) executor.Executor
	log    *slog.Logger
}

// wasm returns the module of the service talk. It is built once.
var wasm = sync.OnceValues(func() ([]byte, error) {
	out := filepath.Join(dir, "talk.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", out, "./testdata/guests/talk")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
})

func newSite(t *testing.T, o options) *site {
	t.Helper()
	module, err := wasm()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{}
	s.server = ruedotest.Front(t, module, ruedotest.FrontOptions{
		Port: o.port, Routes: o.routes, Passes: o.passes, MaxOpen: o.open, Idle: o.idle, Follow: o.follow, Down: o.down, Observe: s.observe, Wrap: o.wrap, Logger: o.log, Runner: shared,
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.server.Drain(ctx); err != nil {
			t.Error(err)
		}
		if err := s.server.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	s.Addr = l.Addr().String()
	s.URL = "http://" + s.Addr
	s.H1, s.H2 = client(t, false), client(t, true)
	return s
}

func (s *site) observe(_ *catalog.Entry, outcome fault.Reason, _ time.Duration, _ *ruedov1.CallInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes = append(s.outcomes, outcome)
}

// last returns how many calls are over, and the outcome of the last one.
func (s *site) last() (n int, outcome fault.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n = len(s.outcomes); n > 0 {
		outcome = s.outcomes[n-1]
	}
	return n, outcome
}

func client(t *testing.T, h2 bool) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetUnencryptedHTTP2(h2)
	tr := &http.Transport{Protocols: p, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// clients calls f with a client of HTTP/1.1 and one of HTTP/2.
func (s *site) clients(t *testing.T, f func(t *testing.T, c *http.Client)) {
	t.Run("HTTP/1.1", func(t *testing.T) { f(t, s.H1) })
	t.Run("HTTP/2", func(t *testing.T) { f(t, s.H2) })
}

// do sends a request and reads the answer. edit may be nil.
func (s *site) do(t *testing.T, c *http.Client, method, path string, body io.Reader, edit func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(req)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("after %d bytes: %v", len(b), err)
	}
	return res, string(b)
}

// raw opens a connection for HTTP/1.1 by hand.
func (s *site) raw(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}
