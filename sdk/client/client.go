// Package client talks to a Ruedo core from Go.
//
// Start with [New], then call a service:
//
//	c := client.New("http://127.0.0.1:7833")
//	res, err := c.Call(ctx, "greet", []byte(`{"name":"Ada"}`))
//
// [Client.Stream] reads the input from a reader and returns the output as one.
// Lists come in pages; [Client.ListServices] and its siblings read all of them.
//
// The rest of the API is available through the generated clients of a [Client]:
// c.Services, c.Decorators, c.Modules, c.Invoke, c.Cluster, c.Logs, c.Members,
// c.Leader and c.Jobs.
//
// # Errors
//
// Every method, including those of the generated clients, fails with an error
// that has a stable reason, a message and usually a fix; [Explain] returns
// them. A core that cannot be reached is CORE_UNREACHABLE.
//
// # Concurrency
//
// A Client is safe for concurrent use. It holds only idle connections, so it
// needs no Close.
package client

import (
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

// Client is a connection to one core. Make it with [New].
type Client struct {
	// Services publishes services and reports what is published.
	Services ruedov1connect.ServiceServiceClient
	// Decorators stores decorators.
	Decorators ruedov1connect.DecoratorServiceClient
	// Modules stores Wasm modules; see [Client.Upload].
	Modules ruedov1connect.ModuleServiceClient
	// Invoke calls services; see [Client.Call].
	Invoke ruedov1connect.InvokeServiceClient
	// Cluster reports runners, cores and the state of the core that answers.
	Cluster ruedov1connect.ClusterServiceClient
	// Logs reads what guests logged; see [Client.ReadLogs].
	Logs ruedov1connect.LogServiceClient
	// Backups copies the catalog as a whole.
	Backups ruedov1connect.BackupServiceClient
	// Members manages the members of a store that the cores form themselves.
	Members ruedov1connect.MemberServiceClient
	// Leader reports which core leads, and has it hand over.
	Leader ruedov1connect.LeaderServiceClient
	// Jobs reports what the leader does, and has it done now.
	Jobs ruedov1connect.JobServiceClient

	http    connect.HTTPClient
	url     string
	cluster string
}

type config struct {
	http    connect.HTTPClient
	cluster string
	connect []connect.ClientOption
}

// Option configures a [Client].
type Option func(*config)

// WithHTTPClient sends requests through h, for example one with TLS client
// certificates. The default keeps up to 64 idle connections and sets no timeout
// of its own: the context's deadline travels with each call. A transport with an
// ExpectContinueTimeout, as the default has, learns that a large input is refused
// before it sends it.
func WithHTTPClient(h connect.HTTPClient) Option {
	return func(c *config) { c.http = h }
}

// WithCluster names the cluster that is meant. A core of another one refuses all
// requests with CLUSTER_MISMATCH. Empty means any cluster.
func WithCluster(id string) Option {
	return func(c *config) { c.cluster = id }
}

// WithConnectOptions adds options of connect-go, for example
// connect.WithGRPC() or connect.WithInterceptors(...).
func WithConnectOptions(opts ...connect.ClientOption) Option {
	return func(c *config) { c.connect = append(c.connect, opts...) }
}

// New returns a client of the core at url: "http://host:port", "https://...",
// or "host:port" for plain HTTP. It does not dial before the first call; a
// malformed url fails then.
func New(url string, opts ...Option) *Client {
	c := config{}
	for _, o := range opts {
		o(&c)
	}
	if c.http == nil {
		c.http = &http.Client{Transport: transport()}
	}
	c.http = watched{c.http}
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	url = strings.TrimRight(url, "/")
	// Outermost, so that it also translates what other interceptors report.
	all := append([]connect.ClientOption{connect.WithInterceptors(explainer{url}, namer{c.cluster})}, c.connect...)
	return &Client{
		Services:   ruedov1connect.NewServiceServiceClient(c.http, url, all...),
		Decorators: ruedov1connect.NewDecoratorServiceClient(c.http, url, all...),
		Modules:    ruedov1connect.NewModuleServiceClient(c.http, url, all...),
		Invoke:     ruedov1connect.NewInvokeServiceClient(c.http, url, all...),
		Cluster:    ruedov1connect.NewClusterServiceClient(c.http, url, all...),
		Logs:       ruedov1connect.NewLogServiceClient(c.http, url, all...),
		Backups:    ruedov1connect.NewBackupServiceClient(c.http, url, all...),
		Members:    ruedov1connect.NewMemberServiceClient(c.http, url, all...),
		Leader:     ruedov1connect.NewLeaderServiceClient(c.http, url, all...),
		Jobs:       ruedov1connect.NewJobServiceClient(c.http, url, all...),
		http:       c.http,
		url:        url,
		cluster:    c.cluster,
	}
}

// URL returns the base URL of the core.
func (c *Client) URL() string { return c.url }

func transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
		// Cores compress responses with gzip on request. The bodies of calls are
		// usually small or already compressed.
		DisableCompression: true,
	}
}
