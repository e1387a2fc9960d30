//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// call makes one call over plain HTTP and returns the runner that executed it.
func (c *cluster) call(client *http.Client, service, input string) (runner, body string, err error) {
	res, err := client.Post("http://127.0.0.1:"+c.port+"/call/"+service, "application/json", strings.NewReader(input))
	if err != nil {
		return "", "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return "", "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", "", errors.New(res.Status + " " + string(b))
	}
	return res.Header.Get("Ruedo-Runner"), string(b), nil
}

func (c *cluster) publishEcho() {
	c.t.Helper()
	wasm := filepath.Join(c.t.TempDir(), "echo.wasm")
	if err := os.WriteFile(wasm, ruedotest.Echo(), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.must("publish", "--name", "echo", wasm)
}

// The walk of the seeds: one store, one core, three runners on one cluster id.
func TestDistributedExecution(t *testing.T) {
	etcd := freePort(t)
	startEtcd(t, t.TempDir(), etcd)
	c := newCluster(t, "alpha", etcd)
	c.server()
	processes := map[string]*process{}
	for _, name := range []string{"one", "two", "three"} {
		processes[name] = c.runner(name)
	}
	c.ready(3)
	c.publishEcho()

	t.Run("300 calls land 100 on each runner, and each logs its own", func(t *testing.T) {
		landed := map[string]int{}
		for range 300 {
			runner, body, err := c.call(http.DefaultClient, "echo", `{"n":1}`)
			if err != nil || body != `{"n":1}` {
				t.Fatalf("%q, %v", body, err)
			}
			landed[runner]++
		}
		for _, r := range c.runners() {
			if landed[r.ID] != 100 {
				t.Errorf("runner %s executed %d calls, want 100", r.ID, landed[r.ID])
			}
			p := processes[r.Name]
			testkit.Within(t, 5*time.Second, r.Name+" logged 100 calls", func() bool { return p.count("executed call") == 100 })
		}
	})

	t.Run("another cluster id on the same store sees nothing of it", func(t *testing.T) {
		other := newCluster(t, "alpha-2", etcd)
		other.server()
		if out := other.must("get", "services", "-o", "name"); strings.TrimSpace(out) != "" {
			t.Errorf("services of the other cluster: %q", out)
		}
		if got := other.runners(); len(got) != 0 {
			t.Errorf("runners of the other cluster: %v", got)
		}
		_, errOut, code := other.ruedo("call", "echo", "-d", "{}")
		if code != 3 || !strings.Contains(errOut, "echo") {
			t.Errorf("a call of the other cluster's service: exit code %d, %s", code, errOut)
		}
	})

	t.Run("kill -9 of a runner under load loses at most what was in flight on it", func(t *testing.T) {
		const workers = 8
		var ok, lost atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				client := &http.Client{}
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, _, err := c.call(client, "echo", `{}`); err == nil {
						ok.Add(1)
					} else {
						lost.Add(1)
						t.Logf("lost: %v", err)
					}
				}
			})
		}
		testkit.Within(t, 10*time.Second, "load runs", func() bool { return ok.Load() > 500 })
		killed := time.Now()
		processes["two"].signal(t, syscall.SIGKILL)
		after := ok.Load()
		testkit.Within(t, 10*time.Second, "load goes on", func() bool { return ok.Load() > after+500 })
		close(stop)
		wg.Wait()
		if n := lost.Load(); n > workers {
			t.Errorf("%d calls failed; at most %d were in flight", n, workers)
		}
		testkit.Within(t, 10*time.Second, "the killed runner is off the list", func() bool { return len(c.runners()) == 2 })
		t.Logf("%d calls answered, %d lost, off the list after %s", ok.Load(), lost.Load(), time.Since(killed).Round(time.Millisecond))
		if d := time.Since(killed); d > 7*time.Second {
			t.Errorf("the killed runner was listed for %s; its lease is 5 s", d)
		}
	})

	t.Run("SIGTERM of a runner under load loses nothing", func(t *testing.T) {
		var failed atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var ok atomic.Int64
		for range 8 {
			wg.Go(func() {
				client := &http.Client{}
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, _, err := c.call(client, "echo", `{}`); err != nil {
						failed.Add(1)
						t.Logf("failed: %v", err)
					}
					ok.Add(1)
				}
			})
		}
		testkit.Within(t, 10*time.Second, "load runs", func() bool { return ok.Load() > 300 })
		processes["three"].signal(t, syscall.SIGTERM)
		if code := processes["three"].wait(t, 10*time.Second); code != 0 {
			t.Errorf("the drained runner ended with %d", code)
		}
		after := ok.Load()
		testkit.Within(t, 10*time.Second, "load goes on", func() bool { return ok.Load() > after+300 })
		close(stop)
		wg.Wait()
		if n := failed.Load(); n != 0 {
			t.Errorf("%d calls failed during a drain", n)
		}
		testkit.Within(t, 2*time.Second, "the drained runner is off the list", func() bool { return len(c.runners()) == 1 })
	})
}

func TestCallsGoOnWithoutTheStore(t *testing.T) {
	port, dir := freePort(t), t.TempDir()
	etcd := startEtcd(t, dir, port)
	c := newCluster(t, "main", port)
	c.server()
	c.runner("one")
	c.ready(1)
	c.publishEcho()

	etcd.signal(t, syscall.SIGKILL)
	etcd.wait(t, 5*time.Second)
	for range 50 {
		if _, _, err := c.call(http.DefaultClient, "echo", `{}`); err != nil {
			t.Fatalf("a call without the store: %v", err)
		}
	}
	begin := time.Now()
	_, errOut, code := c.ruedo("create", "decorator", "d", "--limit", "memory=64MiB")
	if took := time.Since(begin); code != 6 || took > 4*time.Second {
		t.Errorf("a write without the store: exit code %d after %s\n%s", code, took, errOut)
	}
	testkit.Within(t, 10*time.Second, "the core says that it is stale", func() bool {
		return bytes.Contains([]byte(c.must("get", "status", "-o", "json")), []byte(`"stale": true`)) ||
			bytes.Contains([]byte(c.must("get", "status", "-o", "json")), []byte(`"stale":true`))
	})
	for _, noun := range []string{"services", "decorators", "runners", "cores"} {
		out, errOut, code := c.ruedo("get", noun)
		if code != 0 || !strings.Contains(errOut, "warning: the store does not answer: this is what the core remembers (last heard ") {
			t.Errorf("get %s: exit code %d, said %q\n%s", noun, code, errOut, out)
		}
	}

	startEtcd(t, dir, port)
	testkit.Within(t, 20*time.Second, "writes work again", func() bool {
		_, _, code := c.ruedo("create", "decorator", "d", "--limit", "memory=64MiB")
		return code == 0
	})
	testkit.Within(t, 20*time.Second, "the runner is listed again", func() bool { return len(c.runners()) == 1 })
}

func TestAServerWithoutItsStoreSaysSoAndGivesUp(t *testing.T) {
	c := newCluster(t, "main", freePort(t))
	p := start(t, append(c.env, "RUEDO_STORE_START_TIMEOUT=3s"), binary(t, "ruedo"), "server")
	if code := p.wait(t, 15*time.Second); code != 6 {
		t.Errorf("exit code %d, want 6", code)
	}
	if out := p.output(); !strings.Contains(out, "127.0.0.1") || !strings.Contains(out, "error:") {
		t.Errorf("output:\n%s", out)
	}
}

func TestACoreThatIsKilledLosesNothingAcknowledged(t *testing.T) {
	port := freePort(t)
	startEtcd(t, t.TempDir(), port)
	c := newCluster(t, "main", port)
	server := c.server()
	c.runner("one")
	c.ready(1)
	c.publishEcho()

	server.signal(t, syscall.SIGKILL)
	server.wait(t, 5*time.Second)
	c.server()
	c.ready(1) // the runner found the new core on its own
	if _, body, err := c.call(http.DefaultClient, "echo", `{"a":1}`); err != nil || body != `{"a":1}` {
		t.Fatalf("%q, %v", body, err)
	}
}
