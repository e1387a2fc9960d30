//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// ring is a cluster to be tormented: cores that keep their store themselves, and
// runners, all connected by a network that can be cut. Only the test's own
// goroutine uses it.
type ring struct {
	*site
	net     *network
	runners []*ringRunner
	past    []*process // that have ended, in order
	began   time.Time
}

type ringRunner struct {
	name string
	args []string
	env  []string
	*process
}

// newRing starts cores, and runners that are attached to each of them. The
// settings are of all processes.
func newRing(t *testing.T, cores, runners int, settings ...string) *ring {
	t.Helper()
	r := &ring{site: newSite(t, cores), net: newNetwork(t), began: time.Now()}
	r.env = append([]string{"RUEDO_COLLECT_REVISIONS=1000000"}, settings...)
	if runners > 0 {
		r.env = append(r.env, "RUEDO_SERVER_DISTRIBUTED_EXECUTION=true")
	}
	for i, c := range r.cores {
		url := "http://" + r.net.listen(t, "", coreName(i), "127.0.0.1:"+c.peer)
		r.net.names[url] = coreName(i)
		c.env = []string{"RUEDO_STORE_PEER_ADVERTISE_URL=" + url, "RUEDO_STORE_MEMBER_NAME=" + coreName(i)}
	}
	for i := range runners {
		w := &ringRunner{name: fmt.Sprint("runner-", i)}
		var urls []string
		for k, c := range r.cores {
			urls = append(urls, "http://"+r.net.listen(t, w.name, coreName(k), "127.0.0.1:"+c.port))
		}
		w.args = []string{"runner", "--cores", strings.Join(urls, " ")}
		w.env = append([]string{"HOME=" + r.home, "RUEDO_RUNNER_NAME=" + w.name, "RUEDO_RUNNER_LOG_SUCCESSES=true",
			"RUEDO_RUNNER_CACHE_DIR=" + filepath.Join(t.TempDir(), "cache")}, settings...)
		r.runners = append(r.runners, w)
	}
	t.Cleanup(r.keep)
	for i := range r.cores {
		r.launch(i, i-1)
		r.serving(i)
	}
	for _, w := range r.runners {
		r.attach(w)
	}
	r.healthy(60 * time.Second)
	return r
}

func coreName(i int) string { return fmt.Sprint("core-", i) }

func (r *ring) attach(w *ringRunner) {
	w.process = start(r.t, w.env, binary(r.t, "ruedo"), w.args...)
}

// all returns every process so far.
func (r *ring) all() []*process {
	out := append([]*process(nil), r.past...)
	for _, c := range r.cores {
		out = append(out, c.process)
	}
	for _, w := range r.runners {
		out = append(out, w.process)
	}
	return out
}

// keep writes what the processes said into a directory if the test has failed.
func (r *ring) keep() {
	if !r.t.Failed() {
		return
	}
	dir, err := os.MkdirTemp("", "ruedo-faults-")
	if err != nil {
		r.t.Error(err)
		return
	}
	for i, p := range r.all() {
		name := filepath.Join(dir, fmt.Sprintf("%03d-%s-%d.log", i, p.cmd.Args[1], p.cmd.Process.Pid))
		if err := os.WriteFile(name, []byte(p.output()), 0o600); err != nil {
			r.t.Error(err)
		}
	}
	r.t.Logf("what the processes said is in %s", dir)
}

// hosts returns the addresses of the cores, beginning with core i.
func (r *ring) hosts(i int) string {
	var out []string
	for k := range r.cores {
		out = append(out, "127.0.0.1:"+r.cores[(i+k)%len(r.cores)].port)
	}
	return strings.Join(out, " ")
}

// client returns a client of all cores that asks core i first.
func (r *ring) client(i int) *client.Client {
	return strictClient(r.hosts(i), client.WithCluster("default"))
}

// strictClient returns a client that sends a refused request only once, because each
// answer counts.
func strictClient(urls string, opts ...client.Option) *client.Client {
	return client.New(urls, append(opts, client.WithRetries(0))...)
}

// revive starts what has ended.
func (r *ring) revive() {
	r.t.Helper()
	for i, c := range r.cores {
		if c.over() {
			r.past = append(r.past, c.process)
			r.launch(i, (i+1)%len(r.cores))
		}
	}
	for _, w := range r.runners {
		if w.over() {
			r.past = append(r.past, w.process)
			r.attach(w)
		}
	}
}

// over reports whether the process has ended.
func (p *process) over() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// probe returns the answer of a core to a request; 0 if there is none within a second.
func (c *siteCore) probe(path string) (status int, body string) {
	h := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := h.Get("http://127.0.0.1:" + c.port + path)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, ""
	}
	return res.StatusCode, string(b)
}

// ready returns why a core is not in order; "" if it is, with all runners.
func (r *ring) ready(i int) string {
	status, body := r.cores[i].probe("/readyz?verbose")
	switch {
	case status != http.StatusOK || strings.Contains(body, "[-]"):
		return fmt.Sprint(coreName(i), " answers ", status, " ", body)
	case len(r.runners) > 0 && !strings.Contains(body, fmt.Sprintf("runners ok: %d ready", len(r.runners))):
		return fmt.Sprint(coreName(i), " lacks runners: ", body)
	}
	return ""
}

// healthy waits until everything runs, and starts what has ended meanwhile. It
// returns how long that took.
func (r *ring) healthy(limit time.Duration) time.Duration {
	r.t.Helper()
	began := time.Now()
	why := ""
	if !testkit.Poll(limit, func() bool {
		r.revive()
		for i := range r.cores {
			if why = r.ready(i); why != "" {
				return false
			}
		}
		return true
	}) {
		r.t.Fatalf("not all is well after %v: %s", limit, why)
	}
	return time.Since(began)
}

// leader returns the core that leads, or core 0 while none says so.
func (r *ring) leader() int {
	for i, c := range r.cores {
		if status, _ := c.probe("/leader-check"); status == http.StatusOK {
			return i
		}
	}
	return 0
}

// storeLeader returns the core whose member leads the store, or core 0 if that is
// not known.
func (r *ring) storeLeader() int {
	for k := range r.cores {
		out := r.members(k)
		for i := range r.cores {
			if out[coreName(i)] {
				return i
			}
		}
	}
	return 0
}

// members returns which of the members leads, as core i says.
func (r *ring) members(i int) map[string]bool {
	p := start(r.t, []string{"HOME=" + r.home, "RUEDO_CLIENT_HOST=127.0.0.1:" + r.cores[i].port}, binary(r.t, "ruedo"), "get", "members", "-o", "json")
	select {
	case <-p.exited:
	case <-time.After(3 * time.Second):
		return nil
	}
	var list struct {
		Items []struct {
			Name   string
			Leader bool
			Status struct{ Leader bool }
		}
	}
	leads := make(map[string]bool)
	if json.Unmarshal([]byte(p.output()), &list) == nil {
		for _, m := range list.Items {
			leads[m.Name] = m.Leader || m.Status.Leader
		}
	}
	return leads
}

// usage is what a process uses.
type usage struct {
	goroutines  int // 0 if it does not say
	descriptors int
	rss         int64 // bytes
}

func (r *ring) usage(p *process) (u usage) {
	dir := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	if fds, err := os.ReadDir(dir + "fd"); err == nil {
		u.descriptors = len(fds)
	}
	status, _ := os.ReadFile(dir + "status") // a process that is gone uses nothing
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(kb)[0], 10, 64)
			u.rss = n << 10
		}
	}
	return u
}

// goroutines returns how many a core has.
func (c *siteCore) goroutines() int {
	_, body := c.probe("/metrics")
	for line := range strings.Lines(body) {
		if n, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			v, _ := strconv.ParseFloat(strings.TrimSpace(n), 64)
			return int(v)
		}
	}
	return 0
}

// usages returns what each process uses, cores first.
func (r *ring) usages() (all []usage) {
	for _, c := range r.cores {
		u := r.usage(c.process)
		u.goroutines = c.goroutines()
		all = append(all, u)
	}
	for _, w := range r.runners {
		all = append(all, r.usage(w.process))
	}
	return all
}

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d MiB", u.goroutines, u.descriptors, u.rss>>20)
}

// send sends a signal to a process that may have ended.
func (p *process) send(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }
