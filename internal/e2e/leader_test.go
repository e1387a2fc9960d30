//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// node is one core of several, with its process and its id.
type node struct {
	*cluster
	*process
	id string
}

// nodes starts cores on one store.
func nodes(t *testing.T, id, etcd string, n int) []*node {
	t.Helper()
	var all []*node
	for range n {
		c := newCluster(t, id, etcd)
		p := c.server()
		var status struct{ Core struct{ ID string } }
		if err := json.Unmarshal([]byte(c.must("get", "status", "-o", "json")), &status); err != nil {
			t.Fatal(err)
		}
		all = append(all, &node{c, p, status.Core.ID})
	}
	return all
}

// check asks a core whether it leads: 200, 404, or 0 without an answer.
func (n *node) check() (status int, body string) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://127.0.0.1:" + n.cluster.port + "/leader-check")
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body) // the status is what counts
	return res.StatusCode, string(b)
}

// leader waits until exactly one of the cores leads, and all of them name it. At
// no time may two say that they lead.
func leader(t *testing.T, all []*node, limit time.Duration) *node {
	t.Helper()
	var found *node
	testkit.Within(t, limit, "one core leads, and all say so", func() bool {
		found = nil
		agreed := true
		for _, n := range all {
			status, _ := n.check()
			if status == http.StatusOK && found != nil {
				// It may have changed between the two answers, but then the first one
				// no longer says so.
				if again, _ := found.check(); again == http.StatusOK {
					t.Errorf("%s and %s lead", found.id, n.id)
				}
			}
			if status == http.StatusOK {
				found = n
			}
		}
		for _, n := range all {
			_, body := n.check()
			agreed = agreed && found != nil && strings.HasSuffix(body, "leads: "+found.id+"\n")
		}
		return agreed
	})
	return found
}

func without(all []*node, gone *node) (rest []*node) {
	for _, n := range all {
		if n != gone {
			rest = append(rest, n)
		}
	}
	return rest
}

// Three cores on one store: whatever happens to the leader, another one leads
// soon, and never two at a time.
func TestTheLeaderIsReplaced(t *testing.T) {
	etcd := freePort(t)
	startEtcd(t, t.TempDir(), etcd)
	all := nodes(t, "lead", etcd, 3)
	first := leader(t, all, 10*time.Second)

	t.Run("by a command, on any core", func(t *testing.T) {
		asked, to := without(all, first)[0], without(all, first)[1]
		began := time.Now()
		out := asked.must("leader", "yield", "--to", to.id)
		if want := "core " + to.id + " leads, core " + first.id + " did before\n"; out != want {
			t.Errorf("%q, want %q", out, want)
		}
		t.Logf("handed over in %v", time.Since(began))
		if first = leader(t, all, 10*time.Second); first != to {
			t.Errorf("%s leads, want %s", first.id, to.id)
		}
		if out := asked.must("leader", "yield", "--to", to.id); out != "unchanged: core "+to.id+" leads\n" {
			t.Errorf("%q", out)
		}
		if _, stderr, code := asked.ruedo("leader", "yield", "--to", "core-none"); code != 3 || !strings.Contains(stderr, "core-none") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
		if out := asked.must("get", "leader", "-o", "name"); out != to.id+"\n" {
			t.Errorf("%q", out)
		}
		// A job goes to the leader, whichever core is asked.
		if out := asked.must("job", "run", "collect-modules"); !strings.HasPrefix(out, "collect-modules: removed 0 modules") {
			t.Errorf("%q", out)
		}
	})
	t.Run("when it is stopped and continued", func(t *testing.T) {
		stopped := first
		stopped.signal(t, syscall.SIGSTOP)
		began := time.Now()
		first = leader(t, without(all, stopped), 15*time.Second)
		t.Logf("another core leads after %v", time.Since(began))
		stopped.signal(t, syscall.SIGCONT)
		// It must not say that it leads, not even at first.
		testkit.Within(t, 10*time.Second, "the old leader answers", func() bool {
			status, body := stopped.check()
			if status == http.StatusOK {
				t.Errorf("the old leader says: %s", body)
			}
			return status == http.StatusNotFound && strings.HasSuffix(body, first.id+"\n")
		})
	})
	t.Run("when it gets SIGTERM", func(t *testing.T) {
		ended := first
		all = without(all, ended)
		began := time.Now()
		ended.signal(t, syscall.SIGTERM)
		first = leader(t, all, 10*time.Second)
		t.Logf("another core leads after %v", time.Since(began))
		if text := `this core no longer leads the cluster`; !strings.Contains(ended.output(), text) || !strings.Contains(ended.output(), `reason="this core is going down"`) {
			t.Errorf("the old leader did not resign")
		}
		if code := ended.wait(t, 15*time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("when it is killed", func(t *testing.T) {
		first.signal(t, syscall.SIGKILL)
		all = without(all, first)
		began := time.Now()
		first = leader(t, all, 15*time.Second)
		t.Logf("another core leads after %v", time.Since(began))
	})
	t.Run("but not when it is the last", func(t *testing.T) {
		testkit.Within(t, 10*time.Second, "the killed core is off the list", func() bool {
			return len(strings.Fields(first.must("get", "cores", "-o", "name"))) == 1
		})
		if _, stderr, code := first.ruedo("leader", "yield"); code != 5 || !strings.Contains(stderr, "is the only one") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
		leader(t, all, 10*time.Second)
	})
}
