//go:build hostile

package hostile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// every is the victim's rate: a call each 5 ms, paced by the clock and not by
// the answers, so that a pause affects all calls that fall into it.
const every = 5 * time.Millisecond

// callSteadily is the victim's process. It calls the echo at url until its
// stdin ends, and shows the token, if it is not "". For each call it writes a line
// with the time when the call was due, the time from then to its answer, and the
// error.
func callSteadily(url, token string) int {
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(gone)
	}()
	httpClient := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}, Timeout: 10 * time.Second}
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(every)
	for n, due := 0, time.Now(); ; n, due = n+1, due.Add(every) {
		for time.Now().Before(due) {
			select {
			case <-tick.C:
			case <-gone:
				return 0
			}
		}
		wg.Go(func() {
			problem := callOnce(httpClient, url, token, fmt.Sprintf(`{"call":%d}`, n))
			fmt.Printf("%d %d %q\n", due.UnixNano(), time.Since(due), problem) // one write, whole lines
		})
	}
}

func callOnce(c *http.Client, url, token, input string) string {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(input))
	if err != nil {
		return err.Error()
	}
	req.Header = with(bearing(token), "Content-Type", "application/json")
	res, err := c.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err.Error()
	case res.StatusCode != http.StatusOK:
		return fmt.Sprintf("%s: %s", res.Status, body)
	case string(body) != input:
		return fmt.Sprintf("sent %s, got %s", input, body)
	}
	return ""
}

// burn keeps one CPU busy until the process is killed.
func burn() {
	for n := 0; ; n++ {
		if n&(1<<20-1) == 0 && os.Getppid() == 1 {
			os.Exit(0)
		}
	}
}

// sample is one call of the victim.
type sample struct {
	due     time.Time
	took    time.Duration
	problem string
}

// victim is the other service on the cluster, and its caller.
type victim struct {
	stop func()

	mu      sync.Mutex
	samples []sample
	// neighbours is what ordinary busy processes, one for each runner, cost the
	// victim's p99 at the start.
	neighbours time.Duration
}

func newVictim(t *testing.T, c *cluster) *victim {
	t.Helper()
	v := &victim{}
	cmd := role(roleVictim, c.url+"/call/"+victimName)
	cmd.Env = append(cmd.Env, tokenVar+"="+c.caller)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { v.read(stdout) })
	v.stop = sync.OnceFunc(func() {
		_ = stdin.Close()
		reading.Wait()
		_ = cmd.Wait()
	})
	t.Cleanup(v.stop)
	return v
}

// role starts this test binary again in another role.
func role(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVar+"="+name)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (v *victim) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		f := bytes.SplitN(lines.Bytes(), []byte(" "), 3)
		if len(f) != 3 {
			continue
		}
		due, _ := strconv.ParseInt(string(f[0]), 10, 64)
		took, _ := strconv.ParseInt(string(f[1]), 10, 64)
		problem, _ := strconv.Unquote(string(f[2]))
		v.mu.Lock()
		v.samples = append(v.samples, sample{time.Unix(0, due), time.Duration(took), problem})
		v.mu.Unlock()
	}
}

// window is what the victim measured in an interval.
type window struct {
	calls    int
	p99, max time.Duration
	problems []string
	samples  []sample
}

// over are the calls that took too long.
func (w window) over(limit time.Duration) []sample {
	var list []sample
	for _, s := range w.samples {
		if s.took > limit {
			list = append(list, s)
		}
	}
	return list
}

func (w window) String() string {
	return fmt.Sprintf("%d calls, p99 %s, max %s", w.calls, ms(w.p99), ms(w.max))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

// window returns the calls that were due between two times. It waits for those
// that are not answered yet.
func (v *victim) window(from, to time.Time) window {
	var w window
	var took []time.Duration
	want := 0
	look := func() bool {
		w, took = window{}, took[:0]
		v.mu.Lock()
		defer v.mu.Unlock()
		if len(v.samples) == 0 {
			return false
		}
		first := v.samples[0].due // the victim may have started within the window
		if first.Before(from) {
			first = from
		}
		want = int(to.Sub(first)/every) - 1
		for _, s := range v.samples {
			if s.due.Before(from) || !s.due.Before(to) {
				continue
			}
			took, w.samples = append(took, s.took), append(w.samples, s)
			if s.problem != "" {
				w.problems = append(w.problems, s.problem)
			}
		}
		return len(took) >= want
	}
	answered := testkit.Poll(12*time.Second, look)
	if w.calls = len(took); !answered || w.calls == 0 {
		w.problems = append(w.problems, fmt.Sprintf("%d calls got no answer", want-len(took)))
	}
	if w.calls > 0 {
		slices.Sort(took)
		w.p99, w.max = took[min(w.calls-1, w.calls*99/100)], took[w.calls-1]
	}
	return w
}

// watch returns what the victim measures while f runs.
func (v *victim) watch(f func()) window {
	from := time.Now()
	f()
	return v.window(from, time.Now())
}

// calibrate measures what n ordinary processes that compute cost the victim.
// That cost comes from sharing CPUs in the kernel, and a cluster cannot prevent
// it.
func (v *victim) calibrate(t *testing.T, n, rounds int) (quiet, busy window) {
	t.Helper()
	pause := func() { time.Sleep(span) }
	quiet.p99, busy.p99 = time.Hour, time.Hour
	better := func(a, b window) window {
		if b.p99 < a.p99 {
			return b
		}
		return a
	}
	for range rounds { // the best round, to exclude other load on the machine
		quiet = better(quiet, v.watch(pause))
		var burners []*exec.Cmd
		for range n {
			b := role(roleBurner)
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
			burners = append(burners, b)
		}
		busy = better(busy, v.watch(pause))
		for _, b := range burners {
			_ = b.Process.Kill()
			_ = b.Wait()
		}
	}
	return quiet, busy
}

// control returns what the victim measures before an attack. It is measured
// again if the machine is too busy with other things for a meaningful result.
func (v *victim) control() window {
	var w window
	for range 4 {
		if w = v.watch(func() { time.Sleep(span) }); w.p99 <= mostNoise {
			break
		}
	}
	return w
}

// Bounds of what counts as noise.
const (
	leastNoise = 5 * time.Millisecond
	mostNoise  = 40 * time.Millisecond
)

// allowed returns the p99 that a victim may measure during an attack. It is a
// fifth above the p99 right before. If that is a fraction of a time slice, it
// is what as many ordinary busy processes on the same machine cost the victim.
// That cost counts as at least 5 ms and at most 40 ms: a guest that freezes its
// runner costs hundreds.
func allowed(control window, neighbours time.Duration) time.Duration {
	noise := min(max(neighbours, leastNoise), mostNoise)
	return max(control.p99*12/10, control.p99+noise)
}
