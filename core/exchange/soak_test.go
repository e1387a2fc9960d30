package exchange_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/runner"
)

var soak = flag.Int("soak", 0, "run the soak, 200 streams this many times: 500 for 100,000")

const (
	soakStreams = 200 // of one time
	soakers     = 24  // open streams at the same time
	soakRoom    = 64  // streams that a runner can have open
	soakIdle    = 100 * time.Millisecond
	soakTime    = 2 * time.Second // enough for a start, next to other tests
	// soakPatience is that with a machine on which other tests run, too.
	soakPatience = 5 * time.Minute
)

// TestSoak opens streams over a core, lanes and runners, and ends each at random in
// one of the ways that there are, while runners come and go. Then nothing is left:
// no goroutine, no descriptor, no memory, and all the room for streams is there again.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("takes minutes: make e2e and make soak run it with -soak")
	}
	s := newSoaker(t)
	_, stop := s.attach("stays", runner.DefaultDrainTimeout)
	t.Cleanup(stop)
	s.publish()
	s.run(soakStreams / 2) // fills what is kept for later calls
	s.fill()
	before := s.rest()
	began := time.Now()
	s.run(soakStreams * *soak)
	s.fill()
	after := s.rest()
	t.Logf("seed %d, %s: %d streams, of which callers saw\n%s", s.seed, time.Since(began).Round(time.Millisecond), s.streams.Load(), s.tally())
	t.Logf("left: %+v, before %+v", after, before)
	s.outcomes()
	s.compare(before, after)
}

type soaker struct {
	t    *testing.T
	c    *ruedotest.Cluster
	log  *slog.Logger // of what no stream can cause, above all of what INTERNAL was
	peer string       // says hello to services
	seed uint64

	clients []pair // one for each of those who open streams
	streams atomic.Int64

	mu   sync.Mutex
	seen map[string]int // how streams ended
}

// pair is a client of each version.
type pair struct{ h1, h2 *http.Client }

func newSoaker(t *testing.T) *soaker {
	s := &soaker{t: t, log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})), seed: rand.Uint64(), seen: make(map[string]int)}
	s.c = ruedotest.New(t, ruedotest.Options{Runners: -1, Logger: s.log})
	for range soakers {
		s.clients = append(s.clients, pair{client(t, false), client(t, true)})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.peer = l.Addr().String()
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() })
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(struct{ io.Writer }{conn}, conn) // not in the kernel, by pipes that are kept
			})
		}
	})
	return s
}

// attach attaches a runner, which holds few streams and little of what guests log. It
// returns what drains the runner and closes it.
func (s *soaker) attach(name string, drain time.Duration) (_ *runner.Runner, stop func()) {
	r, err := runner.New(s.t.Context(), runner.Config{
		Name: name, Cluster: "test", Cores: []string{s.c.URL}, CacheDir: cache(), Compiler: compiler, Version: "test",
		Streams: soakRoom, ServiceLogBytes: 16 << 10, DrainTimeout: drain, Logger: s.log,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx) }()
	testkit.Eventually(s.t, "the runner is attached", func() bool {
		got, err := s.c.Client.Cluster.ListRunners(s.t.Context(), &ruedov1.ListRunnersRequest{})
		for _, info := range got.GetItems() {
			if info.GetId() == r.Info().GetId() && info.GetState() == ruedov1.RunnerState_RUNNER_STATE_READY {
				return err == nil
			}
		}
		return false
	})
	return r, func() {
		cancel()
		if err := <-served; err != nil && fault.ReasonOf(err) != fault.Deadline { // it was not patient
			s.t.Errorf("runner.Serve: %v", err)
		}
		if err := r.Close(context.Background()); err != nil {
			s.t.Errorf("runner.Close: %v", err)
		}
	}
}

// publish publishes the service, once more as hasty, which has no time for streams in
// which nothing happens, and as brief, which has little time for any.
func (s *soaker) publish() {
	module, err := wasm()
	if err != nil {
		s.t.Fatal(err)
	}
	limits := &ruedov1.Limits{Timeout: durationpb.New(30 * time.Second)}
	hasty := &ruedov1.Limits{Timeout: durationpb.New(30 * time.Second), Idle: durationpb.New(soakIdle)}
	brief := &ruedov1.Limits{Timeout: durationpb.New(soakTime)}
	for name, limits := range map[string]*ruedov1.Limits{"talk": limits, "hasty": hasty, "brief": brief} {
		s.c.Publish(s.t, &ruedov1.PublishServiceRequest{
			Name: name, Decorators: []string{name},
			Definitions:  []*ruedov1.Decorator{{Name: name, Limits: limits, Grants: &ruedov1.Grants{Egress: []string{"tcp://" + s.peer}}}},
			HttpExamples: []*ruedov1.HttpExample{{Method: "POST", Path: "/lines", Body: []byte("hello\n")}},
		}, module)
	}
}

// run opens n streams and ends them. Meanwhile runners are drained, with streams that
// are open: two at least, and more streams are opened if they take long.
func (s *soaker) run(n int) {
	s.t.Helper()
	const drains = 50
	each := int64(max(n/drains, soakStreams/4))
	var left atomic.Int64
	left.Store(int64(n))
	drained, over := make(chan struct{}), make(chan struct{})
	var work sync.WaitGroup
	for i := range soakers {
		work.Go(func() {
			rng := rand.New(rand.NewPCG(s.seed, uint64(i)+uint64(n)<<32))
			for !s.t.Failed() {
				if left.Add(-1) < 0 {
					select {
					case <-drained:
						return
					default:
					}
				}
				s.stream(s.clients[i], rng)
				s.streams.Add(1)
			}
		})
	}
	go func() {
		defer close(over)
		work.Wait()
	}()
	for ended := 1; ; ended++ {
		r, stop := s.attach("leaves", 5*time.Millisecond)
		testkit.Within(s.t, soakPatience, "the runner has all services", func() bool { return r.PlanUsage().GetPlans() == 3 })
		opened := s.streams.Load()
		testkit.Within(s.t, soakPatience, "streams were opened", func() bool {
			select {
			case <-over:
				return true
			default:
				return s.streams.Load() >= opened+each
			}
		})
		stop()
		if ended == 2 {
			close(drained)
		}
		select {
		case <-over:
			return
		default:
		}
	}
}

// saw counts how a stream ended.
func (s *soaker) saw(how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[how]++
}

func (s *soaker) tally() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for how, n := range s.seen {
		all = append(all, fmt.Sprintf("%7d %s", n, how))
	}
	return strings.Join(all, "\n")
}

// fill opens all streams that the one runner has room for, and no more fit.
func (s *soaker) fill() {
	s.t.Helper()
	const room = soakRoom * 3 / 4 // of one service
	ctx, leave := context.WithCancel(s.t.Context())
	defer leave()
	open := func() (status int, said string) {
		req, err := http.NewRequestWithContext(ctx, "GET", s.c.URL+"/svc/talk/events?n=1&stay", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		res, err := s.clients[0].h2.Do(req)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { res.Body.Close() })
		said, err = bufio.NewReader(res.Body).ReadString('\n')
		if err != nil && err != io.EOF {
			s.t.Fatal(err)
		}
		return res.StatusCode, said
	}
	s.quiet()
	for i := range room {
		if status, said := open(); status != http.StatusOK || said != "data: 0\n" {
			s.t.Fatalf("stream %d of %d: %d %s", i+1, room, status, said)
		}
	}
	if status, said := open(); status != http.StatusTooManyRequests || !strings.Contains(said, string(fault.StreamsFull)) {
		s.t.Fatalf("one stream too many: %d %s", status, said)
	}
	leave()
	s.quiet()
}

// quiet waits until the core says that nothing is open any more.
func (s *soaker) quiet() {
	s.t.Helper()
	testkit.Eventually(s.t, "no call is open", func() bool {
		m := s.metrics()
		return m["ruedo_runner_calls"] == 0 && m["ruedo_runner_streams"] == 0 && m["ruedo_runners_attached"] == 1
	})
}

var sample = regexp.MustCompile(`(?m)^(ruedo_\w+(?:\{.*\})?) ([0-9.e+]+)$`)

// metrics returns those of the core.
func (s *soaker) metrics() map[string]float64 {
	s.t.Helper()
	res, err := s.c.HTTP.Get(s.c.URL + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, m := range sample.FindAllStringSubmatch(string(b), -1) {
		all[m[1]], _ = strconv.ParseFloat(m[2], 64)
	}
	return all
}

// outcomes checks that calls ended in each of the ways that there are, and in no other.
func (s *soaker) outcomes() {
	s.t.Helper()
	named := regexp.MustCompile(`^ruedo_calls_total\{outcome="(\w+)",service="\w+"\}$`)
	got := make(map[string]int)
	for name, n := range s.metrics() {
		if m := named.FindStringSubmatch(name); m != nil {
			got[m[1]] += int(n)
		}
	}
	s.t.Logf("outcomes: %v", got)
	for _, how := range []string{"ok", "CANCELED", "GUEST_ERROR", "GUEST_EXIT", "GUEST_TIMEOUT", "GUEST_IDLE", "STREAM_BROKEN"} {
		if got[how] == 0 {
			s.t.Errorf("no call ended with %s", how)
		}
		delete(got, how)
	}
	// Before they started, or when nobody knows.
	for _, how := range []string{"DEADLINE", "QUEUE_TIMEOUT", "STREAMS_FULL", "RUNNER_DRAINING", "RUNNER_LOST", "NO_RUNNER"} {
		delete(got, how)
	}
	if len(got) > 0 {
		s.t.Errorf("calls ended in other ways, too: %v", got)
	}
}

// left is what the process has when nothing is open.
type left struct {
	goroutines, files int
	heap, resident    int64 // bytes; resident is 0 if the system does not say
}

// rest returns what is left when connections that are not used are closed.
func (s *soaker) rest() left {
	s.t.Helper()
	for _, c := range s.clients {
		c.h1.CloseIdleConnections()
		c.h2.CloseIdleConnections()
	}
	s.quiet()
	var l left
	testkit.Eventually(s.t, "the process comes to rest", func() bool {
		last := l
		s.c.HTTP.CloseIdleConnections()
		time.Sleep(100 * time.Millisecond)
		l = left{goroutines: runtime.NumGoroutine(), files: descriptors()}
		return l == last
	})
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	l.heap, l.resident = int64(m.HeapAlloc), resident()
	return l
}

// descriptors returns how many are open, or 0 where the system does not say.
func descriptors() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}

// resident returns how much memory the process has, or 0 where the system does not say.
func resident() int64 {
	b, _ := os.ReadFile("/proc/self/statm")
	if fields := strings.Fields(string(b)); len(fields) > 1 {
		pages, _ := strconv.ParseInt(fields[1], 10, 64)
		return pages * int64(os.Getpagesize())
	}
	return 0
}

// compare checks that nothing is left of streams. Connections between core and runner
// that wait for more of them are kept, a few more or less.
func (s *soaker) compare(before, after left) {
	s.t.Helper()
	const (
		connections = 4
		heap        = 8 << 20
		memory      = 64 << 20
	)
	if after.goroutines > before.goroutines+8*connections {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		s.t.Errorf("%d goroutines are left, %d before", after.goroutines, before.goroutines)
	}
	if after.files > before.files+2*connections {
		s.t.Errorf("%d descriptors are left, %d before", after.files, before.files)
	}
	if after.heap > before.heap+heap {
		s.t.Errorf("%d MiB of the heap are left, %d before", after.heap>>20, before.heap>>20)
	}
	if after.resident > before.resident+memory {
		s.t.Errorf("%d MiB are resident, %d before", after.resident>>20, before.resident>>20)
	}
}
