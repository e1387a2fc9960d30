package core_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// probe returns the status and the text of an answer; 0 and the error if there
// is none.
func probe(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}

// expect checks a probe.
func expect(t *testing.T, client *http.Client, url string, status int, body string) {
	t.Helper()
	if got, text := probe(t, client, url); got != status || !strings.Contains(text, body) {
		t.Errorf("%s: %d %s, want %d %q", url, got, text, status, body)
	}
}

func TestProbesOfACore(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	for _, path := range []string{"/livez", "/healthz"} {
		expect(t, c.HTTP, c.URL+path, 200, "ok\n")
		expect(t, c.HTTP, c.URL+path+"?verbose", 200, "[+]ping ok\n"+path[1:]+" check passed\n")
	}
	expect(t, c.HTTP, c.URL+"/readyz", 503, "[-]runners failed: no runner is attached and ready\n")
	expect(t, c.HTTP, c.URL+"/readyz?exclude=runners", 200, "ok\n")
	c.AddRunner(t)
	expect(t, c.HTTP, c.URL+"/readyz", 200, "ok\n")
	_, text := probe(t, c.HTTP, c.URL+"/readyz?verbose")
	for _, line := range []string{"[+]ping ok\n", "[+]shutdown ok\n", "[+]mirror ok: 0 services at revision ", "[+]runners ok: 1 ready\n", "[+]store ok\n", "[+]writes ok\n", "readyz check passed\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("the answer lacks %q:\n%s", line, text)
		}
	}
}

// Calls go on from memory while the store is away, so the core stays ready, and
// says that writes fail.
func TestACoreWithoutAStoreStaysReady(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	proxy := testkit.NewProxy(t, e.Endpoint())
	c := ruedotest.New(t, ruedotest.Options{Runners: 1, Hosts: []string{proxy.Addr()}})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	proxy.Freeze()
	testkit.Eventually(t, "the core says that the store is away", func() bool {
		_, text := probe(t, c.HTTP, c.URL+"/readyz?verbose")
		return strings.Contains(text, "[-]store failed, which is tolerated: the store has not answered for ")
	})
	expect(t, c.HTTP, c.URL+"/readyz", 200, "ok\n")
	expect(t, c.HTTP, c.URL+"/livez", 200, "ok\n")
	if res, body := post(t, c, "echo", "{}"); res.StatusCode != 200 {
		t.Errorf("a call: %d %s", res.StatusCode, body)
	}
	proxy.Thaw()
	testkit.Eventually(t, "the store answers", func() bool {
		_, text := probe(t, c.HTTP, c.URL+"/readyz?verbose")
		return strings.Contains(text, "[+]store ok\n")
	})
}

// A core whose mirror has not loaded yet gives no answer, rather than a wrong
// one.
func TestACoreIsNotReadyBeforeItsFirstMirror(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	proxy := testkit.NewProxy(t, e.Endpoint())
	proxy.Freeze()
	cfg := config(e)
	cfg.Store = store.Config{Hosts: []string{proxy.Addr()}, OpTimeout: testkit.Patience}
	cfg.Listen = freeAddress(t)
	type made struct {
		core *core.Core
		err  error
	}
	done := make(chan made, 1)
	go func() {
		c, err := core.New(context.Background(), cfg)
		done <- made{c, err}
	}()
	client := &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 2 {
		if status, _ := probe(t, client, "http://"+cfg.Listen+"/readyz?exclude=runners"); status == 200 {
			t.Error("it is ready without a mirror")
		}
	}
	proxy.Thaw()
	m := <-done
	if m.err != nil {
		t.Fatal(m.err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- m.core.Serve(ctx) }()
	testkit.Eventually(t, "it is ready", func() bool {
		status, _ := probe(t, client, "http://"+cfg.Listen+"/readyz?exclude=runners")
		return status == 200
	})
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := m.core.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A core that is going down first says so, and goes on serving for as long as a
// load balancer may need to see it.
func TestACoreThatIsGoingDownIsNotReady(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	cfg := config(e)
	cfg.ShutdownDelay = 2 * time.Second
	c, err := core.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := c.URL() + "/readyz?exclude=runners"
	testkit.Eventually(t, "it is ready", func() bool { status, _ := probe(t, client, url); return status == 200 })
	began := time.Now()
	stop()
	testkit.Eventually(t, "it says that it is going down", func() bool {
		status, text := probe(t, client, url)
		return status == 503 && strings.Contains(text, "[-]shutdown failed: this core is going down\n")
	})
	expect(t, client, c.URL()+"/livez", 200, "ok\n")
	if err := <-served; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < cfg.ShutdownDelay {
		t.Errorf("it went down after %v", took)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
