// Package client talks to a Ruedo core from Go.
//
// Start with [New], then call a service:
//
//	c := client.New("http://127.0.0.1:7833")
//	res, err := c.Call(ctx, "greet", []byte(`{"name":"Ada"}`))
//
// A client can know several cores of a cluster:
//
//	c := client.New("http://core-1:7833 http://core-2:7833 http://core-3:7833")
//
// [Client.Stream] reads the input from a reader and returns the output as one.
// Lists come in pages; [Client.ListServices] and its siblings read all of them.
//
// The rest of the API is available through the generated clients of a [Client]:
// c.Services, c.Decorators, c.Modules, c.Invoke, c.Cluster, c.Cordons, c.Logs,
// c.Members, c.Leader, c.Jobs, c.Inspect, c.Events, c.Login, c.Users, c.Roles,
// c.Tokens, c.Audit and c.Authority.
//
// # Who is calling
//
// A cluster with login wants to know who is calling. [WithToken] sends a token with
// each request, and [WithAuthority] says which cores to believe; [WithCertificate]
// is for cores that let nobody in without one:
//
//	c := client.New("https://core-1:7833", client.WithToken(client.TokenFile("/run/secrets/ruedo")), client.WithAuthority(pem))
//
// On the machine of a core, its unix socket takes the place of both:
//
//	c := client.New("unix:/run/ruedo/core-7833.sock")
//
// # Several cores
//
// Requests go to the core that answered last, at first to the first one. If a
// core cannot be connected to, its request goes to the next one: it provably did
// not start. So does a request that a core refuses because it is shutting down
// or behind, and one that only reads and whose connection breaks. All
// other requests are sent to one core. Together, the attempts to connect take no longer
// than 5 seconds with up to five cores, and a second for each with more.
//
// The first request asks for the cluster, if [WithCluster] does not name it. A
// core of another cluster refuses all that follow, with CLUSTER_MISMATCH.
//
// # Overload
//
// A request that a core refuses for now, for example because too many calls are
// queued, is sent again after the time that the core asks for, and a little more at
// random: if it provably did not start, or only reads. That happens up to three
// times, never beyond the deadline of ctx, and not if the core asks for more than 10
// seconds. Retries have a budget of a tenth of the client's requests, so that clients
// do not keep a cluster overloaded. What is not sent again fails with the error of
// the core; [Explain] returns when to try. See also [WithRetries].
//
// # Reading what was written
//
// After a write, every request of the client sees it, whichever core answers: the
// client requires the revision of the store that the write has led to, and a core
// that has not seen it yet waits for it. See [Client.Revision] for requests of
// other clients.
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
	"crypto/tls"
	"net/http"
	"net/url"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/bearer"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/cores"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/retry"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/revisions"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/transport"
)

// Client is a connection to the cores of one cluster. Make it with [New].
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
	// Cordons takes runners out of service; see package drain.
	Cordons ruedov1connect.CordonServiceClient
	// Jobs reports what the leader does, and has it done now.
	Jobs ruedov1connect.JobServiceClient
	// Inspect looks at the cluster as a whole.
	Inspect ruedov1connect.InspectServiceClient
	// Events lists what has happened in the cluster.
	Events ruedov1connect.EventServiceClient
	// Login makes sessions, and says who the caller is.
	Login ruedov1connect.LoginServiceClient
	// Users keeps people and programs, Roles named lists of what they may do.
	Users ruedov1connect.UserServiceClient
	Roles ruedov1connect.RoleServiceClient
	// Tokens keeps what callers show.
	Tokens ruedov1connect.TokenServiceClient
	// Audit reads who changed what; see [Client.ReadAudit].
	Audit ruedov1connect.AuditServiceClient
	// Authority is about the certificates of the cluster.
	Authority ruedov1connect.AuthorityServiceClient

	http    connect.HTTPClient
	cores   *cores.Cores
	base    string // URL of the first core, for which requests are made
	cluster cluster
	seen    revisions.Set
	budget  *retry.Budget
}

type config struct {
	retries  int
	http     connect.HTTPClient
	token    Token
	tls      *tls.Config
	tlsErr   error
	cluster  string
	connect  []connect.ClientOption
	revision string
	changed  func(revision string)

	certificate *pki.FilesConfig // of this machine; nil: none is shown
}

// Option configures a [Client].
type Option func(*config)

// WithHTTPClient sends requests through h, which connects in its own way: sockets,
// [WithTLS], [WithAuthority] and [WithCertificate] are for the default. That keeps up to 64 idle
// connections and sets no timeout of its own: the context's deadline travels with
// each call. A transport with an ExpectContinueTimeout, as the default has, learns
// that a large input is refused before it sends it.
func WithHTTPClient(h connect.HTTPClient) Option {
	return func(c *config) { c.http = h }
}

// WithCluster names the cluster that is meant. A core of another one refuses all
// requests with CLUSTER_MISMATCH. Empty means any cluster.
func WithCluster(id string) Option {
	return func(c *config) { c.cluster = id }
}

// defaultRetries is how often a refused request is sent again.
const defaultRetries = 3

// WithRetries bounds how often one request is sent again that a core has refused
// for now; see the package's documentation. The default is 3; 0 turns it off.
func WithRetries(n int) Option {
	return func(c *config) { c.retries = n }
}

// WithConnectOptions adds options of connect-go, for example
// connect.WithGRPC() or connect.WithInterceptors(...).
func WithConnectOptions(opts ...connect.ClientOption) Option {
	return func(c *config) { c.connect = append(c.connect, opts...) }
}

// New returns a client of the core at url: "https://host:port", "http://...",
// "host:port" for plain HTTP, or "unix:/path" for the unix socket of a core on this
// machine. Several cores of one cluster are separated by spaces or commas. It does
// not dial before the first call; a malformed url fails then, with REQUEST_INVALID.
func New(url string, opts ...Option) *Client {
	c := config{retries: defaultRetries}
	for _, o := range opts {
		o(&c)
	}
	list, err := cores.Parse(url)
	switch {
	case err != nil:
		list, c.http = nowhere, failing{fault.Wrap(err, fault.RequestInvalid, "the address of the core is not valid: %s", err).
			WithFix("use host:port, or a URL with http or https")}
	case c.http == nil && c.tlsErr != nil:
		c.http = failing{c.tlsErr}
	case c.http == nil:
		c.http = &http.Client{Transport: transport.New(list, c.connection())}
	}
	shown := bearer.Client{Token: c.token, Cores: list}
	all := cores.New(list, transport.Verified{HTTPClient: shown.Direct(c.http)})
	shown.Next = all
	client := &Client{cores: all, base: list[0].URL.String(), budget: retry.NewBudget(c.retries)}
	client.http = revisions.Client{HTTPClient: watched{shown}, Seen: &client.seen}
	client.cluster.init(c.cluster)
	client.seen.Init(c.revision, c.changed)
	client.connect(c.connect)
	return client
}

// connect makes the generated clients.
func (c *Client) connect(opts []connect.ClientOption) {
	// The first two are outermost, so that they also see what other interceptors
	// report.
	with := func(first connect.Interceptor) []connect.ClientOption {
		return append([]connect.ClientOption{connect.WithInterceptors(first, explainer{c.cores}, namer{&c.cluster})}, opts...)
	}
	all := with(failover{c, true})
	unnamed := with(failover{c, false})
	c.cluster.hello = ruedov1connect.NewLoginServiceClient(c.http, c.base, unnamed...)
	c.cluster.status = ruedov1connect.NewClusterServiceClient(c.http, c.base, unnamed...)
	c.Services = ruedov1connect.NewServiceServiceClient(c.http, c.base, all...)
	c.Decorators = ruedov1connect.NewDecoratorServiceClient(c.http, c.base, all...)
	c.Modules = ruedov1connect.NewModuleServiceClient(c.http, c.base, all...)
	c.Invoke = ruedov1connect.NewInvokeServiceClient(c.http, c.base, all...)
	c.Cluster = ruedov1connect.NewClusterServiceClient(c.http, c.base, all...)
	c.Logs = ruedov1connect.NewLogServiceClient(c.http, c.base, all...)
	c.Backups = ruedov1connect.NewBackupServiceClient(c.http, c.base, all...)
	c.Members = ruedov1connect.NewMemberServiceClient(c.http, c.base, all...)
	c.Leader = ruedov1connect.NewLeaderServiceClient(c.http, c.base, all...)
	c.Cordons = ruedov1connect.NewCordonServiceClient(c.http, c.base, all...)
	c.Jobs = ruedov1connect.NewJobServiceClient(c.http, c.base, all...)
	c.Inspect = ruedov1connect.NewInspectServiceClient(c.http, c.base, all...)
	c.Events = ruedov1connect.NewEventServiceClient(c.http, c.base, all...)
	c.Login = ruedov1connect.NewLoginServiceClient(c.http, c.base, all...)
	c.Users = ruedov1connect.NewUserServiceClient(c.http, c.base, all...)
	c.Roles = ruedov1connect.NewRoleServiceClient(c.http, c.base, all...)
	c.Tokens = ruedov1connect.NewTokenServiceClient(c.http, c.base, all...)
	c.Audit = ruedov1connect.NewAuditServiceClient(c.http, c.base, all...)
	c.Authority = ruedov1connect.NewAuthorityServiceClient(c.http, c.base, all...)
}

// URL returns the address of the core that the next request goes to first: the one
// that answered last.
func (c *Client) URL() string { return c.cores.URL() }

// nowhere is what a client with a malformed URL has instead of one.
var nowhere = []cores.Core{{URL: &url.URL{Scheme: "http", Host: "invalid"}}}

// failing fails all requests of a client that cannot send any.
type failing struct{ err error }

func (f failing) Do(*http.Request) (*http.Response, error) { return nil, f.err }

// SocketURL returns the address of a core's unix socket for [New].
func SocketURL(path string) string { return cores.SocketURL(path) }
