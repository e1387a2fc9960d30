//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// states returns what `ruedo get runners` says of the runners, by name.
func (c *cluster) states() map[string]string {
	c.t.Helper()
	by := map[string]string{}
	for line := range strings.Lines(c.must("get", "runners", "--no-headers")) {
		if f := strings.Fields(line); len(f) > 2 {
			by[f[1]] = f[2]
		}
	}
	return by
}

// A runner is drained, stopped and started again under load, and no call fails.
// Its cordon outlives a core that is killed and the runner itself, and ends when
// its time is over.
func TestARunnerIsTakenOutOfServiceUnderLoad(t *testing.T) {
	etcd := freePort(t)
	startEtcd(t, t.TempDir(), etcd)
	all := nodes(t, "drain", etcd, 2)
	one, two := all[0], all[1]
	cache := t.TempDir()
	begin := func(name string) *process {
		c := *one.cluster
		c.env = append(c.env[:len(c.env):len(c.env)], "RUEDO_RUNNER_CACHE_DIR="+cache+"/"+name)
		return c.runner(name)
	}
	first := begin("first")
	begin("second")
	for _, n := range all {
		n.ready(2)
	}
	one.publishEcho()

	// Each call has an answer of its own, so that none is counted twice.
	var calls, failed atomic.Int64
	var load sync.WaitGroup
	stop := make(chan struct{})
	client := &http.Client{Timeout: 20 * time.Second}
	for i := range 6 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				input := fmt.Sprint(calls.Add(1))
				if _, body, err := all[i%2].call(client, "echo", input); err != nil || body != input {
					failed.Add(1)
					t.Errorf("call %s failed: %q, %v", input, body, err)
				}
			}
		})
	}
	if out := one.must("drain", "first", "--reason", "kernel update"); !strings.HasPrefix(out, "drained runner first-") {
		t.Errorf("%q", out)
	}
	// It has nothing left to do, so killing it costs no call.
	first.signal(t, syscall.SIGKILL)
	first.wait(t, 10*time.Second)
	testkit.Within(t, 15*time.Second, "it is away, and still cordoned", func() bool { return two.states()["first"] == "away,cordoned" })
	begin("first")
	for _, n := range all {
		testkit.Within(t, 15*time.Second, "it is back, and still cordoned", func() bool { return n.states()["first"] == "ready,cordoned" })
	}
	close(stop)
	load.Wait()
	t.Logf("%d calls, %d failed", calls.Load(), failed.Load())

	// A core that is killed and starts again heeds it from its first call on.
	one.signal(t, syscall.SIGKILL)
	one.wait(t, 10*time.Second)
	one.process = one.server()
	testkit.Within(t, 20*time.Second, "the runners are attached", func() bool {
		s := one.states()
		return s["first"] == "ready,cordoned" && s["second"] == "ready"
	})
	for i := range 10 {
		if _, stderr, code := one.ruedo("call", "echo", "-d", "{}", "-i"); code != 0 || !strings.Contains(stderr, "second-") {
			t.Fatalf("call %d: exit code %d, %s", i, code, stderr)
		}
	}

	// It ends on its own, at both cores, and the leader removes the record.
	one.must("cordon", "first", "--for", "2s")
	for _, n := range all {
		testkit.Within(t, 15*time.Second, "the cordon has ended", func() bool { return n.states()["first"] == "ready" })
	}
	testkit.Within(t, 15*time.Second, "the leader removes the record", func() bool {
		out, _, code := two.ruedo("job", "run", "expire-cordons") // unless the leader has just run it
		return code == 0 && strings.HasSuffix(out, "; 0 stay\n")
	})
	if _, stderr, code := one.ruedo("drain", "nobody"); code != 3 || !strings.Contains(stderr, `there is no runner "nobody"`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
