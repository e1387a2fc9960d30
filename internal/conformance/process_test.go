package conformance

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"
)

// process is a core or a runner.
type process struct {
	name string
	stop func() // ends the process and waits

	mu  sync.Mutex
	log bytes.Buffer
}

// start starts a process, which ends with the test at the latest.
func (c *cluster) start(env []string, args ...string) (*process, error) {
	ctx, end := context.WithCancel(context.Background())
	p := &process{name: args[0]}
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = slices.Concat(c.env, env), p, p
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		end()
		return nil, err
	}
	p.stop = sync.OnceFunc(func() {
		end()
		_ = cmd.Wait() // it was told to end
	})
	c.t.Cleanup(func() {
		p.stop()
		if c.t.Failed() {
			log := p.output()
			c.t.Logf("%s, at the end:\n%s", p.name, log[max(0, len(log)-4000):])
		}
	})
	return p, nil
}

// Write takes what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// await waits until the process has printed something, and returns its group.
func (p *process) await(pattern string) (string, error) {
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if m := re.FindStringSubmatch(p.output()); m != nil {
			return m[1], nil
		}
	}
	return "", fmt.Errorf("the %s has not said %s:\n%s", p.name, pattern, p.output())
}
