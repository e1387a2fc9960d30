package assemble

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Everything that is made here is gone after Close, goroutines included.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func assembler(t *testing.T, env ...string) *Assembler {
	t.Helper()
	s, err := settings.Resolve(settings.Input{Env: append(env,
		"RUEDO_APPLICATION_WORKING_DIR="+t.TempDir(), "RUEDO_SERVER_PORT=0", "RUEDO_STORE_START_TIMEOUT=1ms")})
	if err != nil {
		t.Fatal(err)
	}
	a := &Assembler{Settings: s, CacheDir: t.TempDir(), Version: "test", Infof: t.Logf}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return a
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestLocal(t *testing.T) {
	a := assembler(t)
	c, err := a.Local(t.Context(), discard(), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: "small"}}); err != nil {
		t.Fatal(err)
	}
	res, err := c.Cluster.GetStatus(t.Context(), &ruedov1.GetStatusRequest{})
	if err != nil || res.GetDistributedExecution() {
		t.Errorf("status = %v, %v", res, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	// Opening the same directory again finds what was stored.
	c, err = a.Local(t.Context(), discard(), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decorators.GetDecorator(t.Context(), &ruedov1.GetDecoratorRequest{Name: "small"}); err != nil {
		t.Error(err)
	}
}

func TestCluster(t *testing.T) {
	a := assembler(t)
	c, err := a.Cluster(t.Context(), discard(), "", 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Runners) != 2 || !strings.HasPrefix(c.URL, "http://127.0.0.1:") {
		t.Errorf("cluster = %q, %v", c.URL, c.Runners)
	}
	// Each sandbox has a working directory of its own.
	if work, err := filepath.Glob(filepath.Join(a.CacheDir, "compiled.private", "work-*")); err != nil || len(work) != 1 {
		t.Errorf("the runners have the sandboxes %v, want one for both", work)
	}
	c.Stop()
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

func TestServerEndsWithItsContext(t *testing.T) {
	for _, distributed := range []string{"true", "false"} {
		a := assembler(t, "RUEDO_SERVER_DISTRIBUTED_EXECUTION="+distributed)
		ctx, cancel := context.WithCancel(t.Context())
		serving := make(chan struct{})
		log := slog.New(&waitFor{Handler: slog.DiscardHandler, text: "core is serving", seen: serving})
		done := make(chan error, 1)
		go func() { done <- a.Server(ctx, log) }()
		select {
		case <-serving:
		case err := <-done:
			t.Fatal(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// waitFor closes seen when a text is logged.
type waitFor struct {
	slog.Handler
	text string
	seen chan struct{}
}

func (w *waitFor) Enabled(context.Context, slog.Level) bool { return true }

func (w *waitFor) Handle(_ context.Context, r slog.Record) error {
	if r.Message == w.text {
		close(w.seen)
	}
	return nil
}

func (w *waitFor) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *waitFor) WithGroup(string) slog.Handler      { return w }

func TestStoreThatIsNotThere(t *testing.T) {
	a := assembler(t, "RUEDO_STORE_ETCD_HOSTS=127.0.0.1:1")
	for name, run := range map[string]func(context.Context, *slog.Logger) error{"server": a.Server, "runner": a.Runner} {
		start := time.Now()
		err := run(t.Context(), discard())
		if !errors.Is(err, fault.StoreUnavailable) || !strings.Contains(err.Error(), "gave up after") {
			t.Errorf("%s: %v after %s", name, err, time.Since(start))
		}
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		env    []string
		reason fault.Reason
	}{
		"without logins":      {[]string{"RUEDO_SERVER_LISTEN_ADDRESS=0.0.0.0", "RUEDO_AUTH_MODE=off"}, fault.ConfigInvalid},
		"without TLS":         {[]string{"RUEDO_SERVER_LISTEN_ADDRESS=0.0.0.0", "RUEDO_TLS_MODE=off"}, fault.ConfigInvalid},
		"TLS without logins":  {[]string{"RUEDO_AUTH_MODE=off", "RUEDO_TLS_MODE=on"}, fault.ConfigInvalid},
		"a key alone":         {[]string{"RUEDO_TLS_MODE=on", "RUEDO_TLS_PRIVATE_KEY_FILE=x"}, fault.ConfigInvalid},
		"a pair, but no TLS":  {[]string{"RUEDO_TLS_MODE=off", "RUEDO_TLS_PRIVATE_KEY_FILE=x", "RUEDO_TLS_CERTIFICATE_FILE=x"}, fault.ConfigInvalid},
		"certificate, no TLS": {[]string{"RUEDO_STORE_ETCD_HOSTS=a:1", "RUEDO_STORE_ETCD_CERTIFICATE_FILE=x"}, fault.ConfigInvalid},
		"half a certificate":  {[]string{"RUEDO_STORE_ETCD_HOSTS=a:1", "RUEDO_STORE_ETCD_USE_TLS=true", "RUEDO_STORE_ETCD_CERTIFICATE_FILE=x"}, fault.ConfigInvalid},
		"no such authority":   {[]string{"RUEDO_STORE_ETCD_HOSTS=a:1", "RUEDO_STORE_ETCD_USE_TLS=true", "RUEDO_STORE_ETCD_CA_CERTIFICATE_FILE=/none"}, fault.ConfigInvalid},
	} {
		if err := assembler(t, tt.env...).Server(t.Context(), discard()); !errors.Is(err, tt.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := assembler(t).Runner(t.Context(), discard()); !errors.Is(err, fault.ConfigInvalid) {
		t.Errorf("a runner without a core: %v", err)
	}
}

// A member that has joined a store and whose core cannot start would count as one
// that does not answer.
func TestAPortInUseIsNoticedBeforeTheStoreIsOpened(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := assembler(t)
	a.Settings.Server.Port = l.Addr().(*net.TCPAddr).Port
	a.Settings.Store.DataDir = filepath.Join(t.TempDir(), "store")
	if err := a.Server(t.Context(), discard()); !errors.Is(err, fault.PortInUse) {
		t.Errorf("%v, want %s", err, fault.PortInUse)
	}
	if _, err := os.Stat(a.Settings.Store.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the store has a directory: %v", err)
	}
}

func TestURL(t *testing.T) {
	for host, want := range map[string]string{
		"core":               "http://core:7833",
		"core:1":             "http://core:1",
		"::1":                "http://[::1]:7833",
		"[::1]":              "http://[::1]:7833",
		"[::1]:2":            "http://[::1]:2",
		"https://core/":      "https://core",
		"http://10.0.0.1:99": "http://10.0.0.1:99",
	} {
		if got := URL(host, 7833); got != want {
			t.Errorf("URL(%s) = %s, want %s", host, got, want)
		}
	}
}

func TestAdvertisedURL(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct {
		listen, advertise, want string
	}{
		{"127.0.0.1", "", ""},
		{"0.0.0.0", "", host + ":7833"},
		{"::", "", host + ":7833"},
		{"0.0.0.0", "core-1", "core-1:7833"},
		{"0.0.0.0", "core-1:80", "core-1:80"},
		{"0.0.0.0", "http://proxy", "http://proxy"},
		{"127.0.0.1", "https://proxy/", "https://proxy"},
	} {
		a := &Assembler{Settings: &settings.Resolved{}}
		a.Settings.Server.ListenAddress, a.Settings.Server.AdvertiseURL, a.Settings.Server.Port = tt.listen, tt.advertise, 7833
		if got := a.advertised(); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
