//go:build hostile

package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// secret is in the environment of every service that is published here, and
// must not appear in anything that anybody can read.
const secret = "sk-live-correct-horse-battery-staple"

const (
	victimName  = "victim"
	runnerCount = 2
)

// cluster is a core with its store and two runners, each a process.
type cluster struct {
	core    *process
	runners []*process
	url     string
	home    string
	// client may do everything: where callers have to log in, it comes by the socket.
	client *client.Client
	// caller and observer are what the victim and the tests show: tokens that may call
	// the victim, and read figures; "" if nobody has to log in.
	caller, observer string
	// published counts services that went live.
	published *atomic.Int64
}

func (c *cluster) processes() []*process { return append([]*process{c.core}, c.runners...) }

// coreMemory is the most memory that a core may ever have, in bytes. Its
// GOMEMLIMIT is three quarters of that, because it is usually set below the
// limit of a container: it includes neither the program nor the store's mapped
// file.
const coreMemory = 512 << 20

// newCluster starts a cluster without logins, and returns it with the victim published.
// wrap is the command that starts the core, if that is not the program itself.
func newCluster(t *testing.T, wrap ...string) *cluster { return openCluster(t, false, wrap...) }

// newClusterWithLogins starts a cluster as it is by default.
func newClusterWithLogins(t *testing.T) *cluster { return openCluster(t, true) }

func openCluster(t *testing.T, login bool, wrap ...string) *cluster {
	t.Helper()
	if len(wrap) == 0 {
		wrap = []string{program, "server"}
	}
	c := &cluster{home: t.TempDir(), published: new(atomic.Int64)}
	env := environment(c.home, "RUEDO_LOG_FORMAT=json", "RUEDO_APPLICATION_CLUSTER_ID=hostile")
	socket := filepath.Join(c.home, "core.sock")
	if login {
		env = append(env, "RUEDO_AUTH_MODE=auto", "RUEDO_SERVER_SOCKET="+socket)
	}
	c.core = start(t, "core", append(env,
		"RUEDO_SERVER_PORT=0", "RUEDO_SERVER_DISTRIBUTED_EXECUTION=true", fmt.Sprintf("GOMEMLIMIT=%d", coreMemory/4*3),
		"RUEDO_STORE_DATA_DIR="+filepath.Join(c.home, "store")), wrap[0], wrap[1:]...)
	c.core.guard()
	if !testkit.Poll(30*time.Second, func() bool { c.url = served(c.core.output(0)); return c.url != "" || !c.core.alive() }) || c.url == "" {
		t.Fatalf("the core does not serve:\n%s", c.core.output(0))
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	at := c.url
	if login {
		at = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	c.client = client.New(at, client.WithHTTPClient(&http.Client{Transport: transport}), client.WithRetries(0))
	if login {
		c.caller = c.mustProgram(t, "calls-victim", "call service "+victimName)
		c.observer = c.mustProgram(t, "observes", "read cluster *", "read service *")
		env = append(env, "RUEDO_TOKEN="+c.mustProgram(t, "runners", "execute service *"))
	}
	for i := range runnerCount {
		name := fmt.Sprintf("runner-%d", i+1)
		c.runners = append(c.runners, start(t, name, append(env,
			"RUEDO_RUNNER_NAME="+name, "RUEDO_RUNNER_CORES="+c.url,
			"RUEDO_RUNNER_CACHE_DIR="+filepath.Join(c.home, name)), program, "runner"))
	}
	if !testkit.Poll(30*time.Second, func() bool { return c.ready(t.Context()) == runnerCount }) {
		t.Fatalf("the runners do not attach:\n%s%s", c.runners[0].output(0), c.runners[1].output(0))
	}
	if err := c.publish(t.Context(), victimName, ruedotest.Echo(), nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// program creates a user that is a program with grants, and returns a token of it.
func (c *cluster) program(ctx context.Context, name string, grants ...string) (*ruedov1.CreateTokenResponse, error) {
	user := &ruedov1.User{Name: name, Machine: true, Grants: grants}
	if _, err := c.client.Users.CreateUser(ctx, &ruedov1.CreateUserRequest{User: user}); err != nil {
		return nil, err
	}
	return c.client.Tokens.CreateToken(ctx, &ruedov1.CreateTokenRequest{User: name})
}

func (c *cluster) mustProgram(t *testing.T, name string, grants ...string) (secret string) {
	t.Helper()
	made, err := c.program(t.Context(), name, grants...)
	if err != nil {
		t.Fatal(err)
	}
	return made.GetSecret()
}

// bearing returns the header field that shows a token; none if it is "".
func bearing(token string) http.Header {
	if token == "" {
		return http.Header{}
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}

// served finds the URL in a core's log.
func served(log string) string {
	for line := range strings.Lines(log) {
		var entry struct{ Msg, URL string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "core is serving" {
			return entry.URL
		}
	}
	return ""
}

func (c *cluster) ready(ctx context.Context) int {
	n := 0
	list, err := c.client.Cluster.ListRunners(ctx, &ruedov1.ListRunnersRequest{})
	if err != nil {
		return 0
	}
	for _, r := range list.GetItems() {
		if r.GetState() == ruedov1.RunnerState_RUNNER_STATE_READY {
			n++
		}
	}
	return n
}

// publish publishes wasm as a service, with its own limits if there are any.
func (c *cluster) publish(ctx context.Context, name string, wasm []byte, limits *ruedov1.Limits, change ...func(*ruedov1.PublishServiceRequest)) error {
	digest, err := c.client.Upload(ctx, wasm, nil)
	if err != nil {
		return err
	}
	req := &ruedov1.PublishServiceRequest{Name: name, Module: digest, Env: map[string]string{"API_TOKEN": secret}}
	if limits != nil {
		if err := c.decorate(ctx, name, limits); err != nil {
			return err
		}
		req.Decorators = []string{name}
	}
	for _, f := range change {
		f(req)
	}
	if _, err = c.client.Services.PublishService(ctx, req); err != nil {
		return err
	}
	c.published.Add(1)
	return nil
}

// decorate stores a decorator with these limits.
func (c *cluster) decorate(ctx context.Context, name string, limits *ruedov1.Limits) error {
	d := &ruedov1.Decorator{Name: name, Limits: limits}
	if _, err := c.client.Decorators.GetDecorator(ctx, &ruedov1.GetDecoratorRequest{Name: name}); err == nil {
		_, err = c.client.Decorators.UpdateDecorator(ctx, &ruedov1.UpdateDecoratorRequest{Decorator: d})
		return err
	}
	_, err := c.client.Decorators.CreateDecorator(ctx, &ruedov1.CreateDecoratorRequest{Decorator: d})
	return err
}

// timeout is the limit of most services here.
func timeout(d time.Duration) *ruedov1.Limits { return &ruedov1.Limits{Timeout: durationpb.New(d)} }
