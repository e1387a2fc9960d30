// Package cluster starts a core and a runner as users run them: two processes of
// a checkout's program.
package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/socket"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Cluster is a core and a runner, and the CLI to talk to them.
type Cluster struct {
	URL string
	// Processes are the core and the runner.
	Processes []*process.Process

	ctx      context.Context
	bin, dir string
	env      []string
}

// Start builds the checkout at root, and starts its server and a runner, without
// logins. It keeps its files in dir.
func Start(ctx context.Context, g *process.Group, root, dir string) (*Cluster, error) {
	bin, err := Build(ctx, root, dir)
	if err != nil {
		return nil, err
	}
	return Open(ctx, g, Options{Bin: bin, Dir: dir})
}

// Build builds the program of the checkout at root in dir, and returns its path.
func Build(ctx context.Context, root, dir string) (bin string, err error) {
	bin, err = filepath.Abs(filepath.Join(dir, "ruedo"))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ruedo: %w\n%s", err, out)
	}
	return bin, nil
}

// Options of a cluster.
type Options struct {
	// Bin is the program; see [Build].
	Bin string
	// Dir is where the cluster keeps its files.
	Dir string
	// Logins has callers log in. The runner goes by the core's socket then, and so does
	// the CLI.
	Logins bool
	// TLS has the core's port have TLS, which takes logins.
	TLS bool
}

// Open starts the server and a runner of a program.
func Open(ctx context.Context, g *process.Group, o Options) (*Cluster, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	url := "http://127.0.0.1:" + port
	if o.TLS {
		url = "https://127.0.0.1:" + port
	}
	c := &Cluster{ctx: ctx, bin: o.Bin, dir: o.Dir, URL: url, env: []string{
		"RUEDO_LOG_LEVEL=error", "RUEDO_SERVER_PORT=" + port, "RUEDO_SERVER_DISTRIBUTED_EXECUTION=true",
		"RUEDO_STORE_DATA_DIR=" + filepath.Join(o.Dir, "data"), "RUEDO_RUNNER_CACHE_DIR=" + filepath.Join(o.Dir, "cache"),
		"RUEDO_RUNNER_CORES=" + url, "RUEDO_CLIENT_HOST=" + url, "RUEDO_APPLICATION_MODE=client",
	}}
	if o.Logins {
		c.env = append(c.env, "RUEDO_AUTH_MODE=on", "RUEDO_SEAL_KEY_FILE="+filepath.Join(o.Dir, "seal.key"))
	}
	if o.TLS {
		c.env = append(c.env, "RUEDO_TLS_MODE=on")
	}
	for _, role := range []string{"server", "runner"} {
		p, err := g.Start(c.bin, c.env, role)
		if err != nil {
			return nil, err
		}
		c.Processes = append(c.Processes, p)
	}
	return c, nil
}

// Admin returns a client that may do everything. It goes by the socket of the core,
// which has to serve.
func (c *Cluster) Admin() (*client.Client, error) {
	path := socket.Find(c.ctx, socket.Dirs(os.Getenv), c.URL)
	if path == "" {
		return nil, fmt.Errorf("the core at %s has no socket", c.URL)
	}
	return client.New(client.SocketURL(path)), nil
}

// TLS returns how a client knows the core by the authority of its cluster.
func (c *Cluster) TLS() (*tls.Config, error) {
	admin, err := c.Admin()
	if err != nil {
		return nil, err
	}
	res, err := admin.Authority.GetAuthority(c.ctx, &ruedov1.GetAuthorityRequest{})
	if err != nil {
		return nil, err
	}
	certs, err := pki.ParsePEM([]byte(res.GetAuthority().GetCertificate()))
	if err != nil {
		return nil, err
	}
	return pki.Trusting(func() []*x509.Certificate { return certs }, nil), nil
}

// Publish publishes a module. It waits for the runner, which attaches on its own.
func (c *Cluster) Publish(name string, wasm []byte) error {
	file := filepath.Join(c.dir, name+".wasm")
	if err := os.WriteFile(file, wasm, 0o600); err != nil {
		return err
	}
	return c.publish("--name", name, file)
}

// PublishDir builds and publishes the service in a directory, as Publish does.
func (c *Cluster) PublishDir(dir string) error { return c.publish(dir) }

func (c *Cluster) publish(args ...string) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := c.run(append([]string{"publish"}, args...)...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
}

// run runs a command of the CLI.
func (c *Cluster) run(args ...string) error {
	cmd := exec.CommandContext(c.ctx, c.bin, args...)
	cmd.Env = append(os.Environ(), c.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ruedo %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
