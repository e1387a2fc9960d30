// Package ruedotest runs a whole cluster inside a test: embedded etcd, a core on
// a loopback port, runners attached over real lanes, real Wasm.
//
//	c := ruedotest.New(t, ruedotest.Options{Runners: 2})
//	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo"}, ruedotest.Echo())
//	res, err := c.Client.Call(t.Context(), "echo", []byte(`{}`), client.WithLogs())
//
// Everything, including goroutines, ends with the test.
package ruedotest

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/door"
	"github.com/ruedo-dev/ruedo/core/local"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/port/proxies"
	"github.com/ruedo-dev/ruedo/internal/seal"
	"github.com/ruedo-dev/ruedo/internal/socket"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Options of a cluster. The zero value is one core with two runners.
type Options struct {
	// Runners is the number of runners to attach; 0 means 2, or none with Login, -1 means
	// none.
	Runners int
	// Local executes in the core's own process; no runner is attached.
	Local bool
	// Wrap wraps the runner of a local cluster; nil leaves it unchanged.
	Wrap func(local.Runner) local.Runner
	// Cluster is the cluster id; "" means "test".
	Cluster string
	// Etcd shares the store of another cluster; nil starts one.
	Etcd *etcdembed.Server
	// Hosts reaches the store over TCP, for example through a proxy, instead of
	// Etcd.
	Hosts []string
	// Concurrency and Queue of each runner; 0 means the runner's defaults.
	Concurrency, Queue int
	// Login has callers log in. Client then reaches the core by its socket, and may do
	// everything; HTTP shows nothing to its port, which believes what it says in
	// X-Forwarded-For. Its runners need a token; see [Token].
	Login bool
	// TLS encrypts the port of a cluster with login; HTTP trusts its authority.
	TLS bool
	// SealKey is that of another cluster with login on the same Etcd.
	SealKey string
	// Apps opens the core's port for web applications.
	Apps bool
	// Zone of the core; "" prefers none.
	Zone string
	// QueueTimeout of the core; 0 means its default.
	QueueTimeout time.Duration
	// Logger of all parts; nil discards.
	Logger *slog.Logger
}

// Cluster is a running cluster.
type Cluster struct {
	Core    *core.Core
	URL     string
	Etcd    *etcdembed.Server
	Client  *client.Client
	HTTP    *http.Client
	Runners []*Runner
	// SealKey is the file of the key that the secrets of a cluster with login are sealed
	// with.
	SealKey string

	opts Options
}

// Runner is a runner that a test can stop on its own.
type Runner struct {
	*runner.Runner
	stop context.CancelFunc
	done chan error
}

// New starts a cluster and waits until its runners are attached.
func New(t testing.TB, opts Options) *Cluster {
	t.Helper()
	if opts.Cluster == "" {
		opts.Cluster = "test"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Cluster{opts: opts, Etcd: opts.Etcd}
	if c.Etcd == nil && opts.Hosts == nil {
		c.Etcd = etcdtest.Start(t, etcdembed.Config{})
	}
	kept := store.Config{Hosts: opts.Hosts}
	if opts.Hosts == nil {
		// A busy machine can take seconds for one write.
		kept = store.Config{Client: c.Etcd.Client(), Check: c.Etcd.Check, OpTimeout: testkit.Patience}
	}
	cfg := core.Config{
		Cluster:     opts.Cluster,
		Store:       kept,
		Listen:      "127.0.0.1:0",
		Distributed: !opts.Local,
		Zone:        opts.Zone,
		Version:     "test",
		Logger:      opts.Logger,

		QueueTimeout: opts.QueueTimeout,
	}
	if opts.Login {
		c.SealKey = cmp.Or(opts.SealKey, filepath.Join(t.TempDir(), "seal.key"))
		cfg.Login = core.Login{New: true, Seal: seal.Source{File: c.SealKey}}
		cfg.Socket = &socket.Config{Path: socketPath(t)}
		if opts.TLS {
			cfg.TLS = &door.TLS{}
		}
		var err error
		if cfg.Port.Proxies, err = proxies.Parse([]string{"127.0.0.0/8"}); err != nil {
			t.Fatal(err)
		}
	}
	if opts.Apps {
		cfg.Apps = "127.0.0.1:0"
	}
	if opts.Local {
		cfg.Local = c.newRunner(t, nil)
		if opts.Wrap != nil {
			cfg.Local = opts.Wrap(cfg.Local)
		}
	}
	var err error
	if c.Core, err = core.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	c.URL = c.Core.URL()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- c.Core.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("core.Serve: %v", err)
		}
		if err := c.Core.Close(context.Background()); err != nil {
			t.Errorf("core.Close: %v", err)
		}
	})
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	c.HTTP = &http.Client{Transport: transport}
	c.Client = client.New(c.URL, client.WithHTTPClient(c.HTTP), client.WithRetries(0)) // tests see each refusal
	if opts.Login {
		c.Client = client.New(client.SocketURL(cfg.Socket.Path), client.WithRetries(0))
	}
	if opts.TLS {
		transport.TLSClientConfig = c.trusting(t)
	}
	if !opts.Local {
		n := opts.Runners
		if n == 0 && !opts.Login {
			n = 2
		}
		for range max(n, 0) {
			c.AddRunner(t)
		}
	}
	return c
}

// trusting returns a configuration of TLS that trusts the authority of the cluster.
func (c *Cluster) trusting(t testing.TB) *tls.Config {
	t.Helper()
	res, err := c.Client.Authority.GetAuthority(t.Context(), &ruedov1.GetAuthorityRequest{})
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pki.ParsePEM([]byte(res.GetAuthority().GetCertificate()))
	if err != nil {
		t.Fatal(err)
	}
	return pki.Trusting(func() []*x509.Certificate { return certs }, nil)
}

// socketPath returns a path that is short enough for a socket.
func socketPath(t testing.TB) string {
	dir, err := os.MkdirTemp("", "ruedo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // an empty directory for temporary files
	return filepath.Join(dir, "core.sock")
}

func (c *Cluster) newRunner(t testing.TB, cores []string, change ...func(*runner.Config)) *runner.Runner {
	t.Helper()
	cfg := runner.Config{
		Name: "test", Cluster: c.opts.Cluster, Cores: cores, CacheDir: t.TempDir(), Version: "test",
		Concurrency: c.opts.Concurrency, Queue: c.opts.Queue, Logger: c.opts.Logger,
		CompileTime: time.Minute, // the machine can be slow, and nice to others
	}
	for _, f := range change {
		f(&cfg)
	}
	r, err := runner.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Errorf("runner.Close: %v", err)
		}
	})
	return r
}

// Labels sets the labels of a runner, such as "zone=eu-1"; see [Cluster.AddRunner].
func Labels(words ...string) func(*runner.Config) {
	return func(cfg *runner.Config) {
		var err error
		if cfg.Labels, err = labels.Parse(words); err != nil {
			panic(err)
		}
	}
}

// Token has a runner show a token; see [Cluster.AddRunner].
func Token(secret string) func(*runner.Config) {
	return func(cfg *runner.Config) {
		cfg.Access = func(string) runner.Access {
			return runner.Access{Token: func(context.Context) (string, error) { return secret, nil }}
		}
	}
}

// AddRunner attaches one more runner, whose config change sets, and waits until it
// accepts calls.
func (c *Cluster) AddRunner(t testing.TB, change ...func(*runner.Config)) *Runner {
	t.Helper()
	r := &Runner{Runner: c.newRunner(t, []string{c.URL}, change...), done: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.done <- r.Serve(ctx) }()
	t.Cleanup(func() { r.Stop(t) })
	c.Runners = append(c.Runners, r)
	testkit.Eventually(t, "runner attached", func() bool {
		list, err := c.Client.Cluster.ListRunners(t.Context(), &ruedov1.ListRunnersRequest{})
		if err != nil {
			return false
		}
		for _, info := range list.GetItems() {
			if info.GetId() == r.Info().GetId() {
				return info.GetState() == ruedov1.RunnerState_RUNNER_STATE_READY
			}
		}
		return false
	})
	return r
}

// Stop drains the runner as SIGTERM would. A second Stop does nothing.
func (r *Runner) Stop(t testing.TB) {
	t.Helper()
	if r.stop == nil {
		return
	}
	r.stop()
	r.stop = nil
	if err := <-r.done; err != nil {
		t.Errorf("runner.Serve: %v", err)
	}
}

// Publish uploads a module and publishes it as req says, with its digest filled
// in.
func (c *Cluster) Publish(t testing.TB, req *ruedov1.PublishServiceRequest, wasm []byte) *ruedov1.PublishServiceResponse {
	t.Helper()
	res, err := c.TryPublish(t.Context(), req, wasm)
	if err != nil {
		t.Fatalf("publish %s: %v", req.GetName(), err)
	}
	return res
}

// TryPublish is Publish for a test that wants the error.
func (c *Cluster) TryPublish(ctx context.Context, req *ruedov1.PublishServiceRequest, wasm []byte) (*ruedov1.PublishServiceResponse, error) {
	digest, err := c.Client.Upload(ctx, wasm, nil)
	if err != nil {
		return nil, err
	}
	req.Module = digest
	return c.Client.Services.PublishService(ctx, req)
}

// Echo returns the smallest useful service: it answers with its input, up to
// 64 KiB.
func Echo() []byte { return wasmtest.Echo() }
