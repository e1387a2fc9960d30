// Package cluster starts a core and a runner as users run them: two processes of
// a checkout's program.
package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/process"
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

// Start builds the checkout at root, and starts its server and a runner. It keeps
// its files in dir.
func Start(ctx context.Context, g *process.Group, root, dir string) (*Cluster, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "ruedo")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build ruedo: %w\n%s", err, out)
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	url := "http://127.0.0.1:" + port
	c := &Cluster{ctx: ctx, bin: bin, dir: dir, URL: url, env: []string{
		"RUEDO_LOG_LEVEL=error", "RUEDO_SERVER_PORT=" + port, "RUEDO_SERVER_DISTRIBUTED_EXECUTION=true",
		"RUEDO_STORE_DATA_DIR=" + filepath.Join(dir, "data"), "RUEDO_RUNNER_CACHE_DIR=" + filepath.Join(dir, "cache"),
		"RUEDO_RUNNER_CORES=" + url, "RUEDO_CLIENT_HOST=" + url, "RUEDO_APPLICATION_MODE=client",
	}}
	for _, role := range []string{"server", "runner"} {
		p, err := g.Start(bin, c.env, role)
		if err != nil {
			return nil, err
		}
		c.Processes = append(c.Processes, p)
	}
	return c, nil
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
