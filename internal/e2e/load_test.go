//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// witness is a guest that shows that it was executed: it logs its input, which is
// the id of the call, and returns it with its environment, V=<8 digits>.
//
// What a guest logs is written by its runner before the answer is sent, so an
// execution that has come to its end is known, even if its answer is lost or its
// runner is killed afterwards. One that a kill has cut short leaves nothing, here as
// for any user: it has no effect outside of its sandbox. That such a call is not
// sent to a second runner is seen on the lanes instead; see load.watch.
func witness() []byte {
	const env = 60000 // where the pointers of the environment go
	m := wasmtest.New()
	read := m.Import("ruedo", "input_read", "ii>i")
	write := m.Import("ruedo", "output_write", "ii>i")
	log := m.Import("ruedo", "log", "iii>")
	environ := m.Import("wasi_snapshot_preview1", "environ_get", "ii>i")
	m.Memory(1, -1)
	size, set := wasmtest.Ops(0x20, 0), wasmtest.Ops(0x21, 0) // local.get, local.set
	m.AsFunction(m.FuncLocals(">i", []byte{1, 1, 0x7f},
		wasmtest.I32(0), wasmtest.I32(1024), wasmtest.Call(read), set,
		wasmtest.I32(4), wasmtest.I32(0), size, wasmtest.Call(log),
		wasmtest.I32(env), size, wasmtest.Call(environ), wasmtest.Drop(),
		wasmtest.I32(0), size, wasmtest.I32(int32(len(version(0)))), wasmtest.Ops(0x6a), wasmtest.Call(write), wasmtest.Drop(),
		wasmtest.I32(0)))
	return m.Bytes()
}

// version is the environment of a revision, as the witness returns it.
func version(n int) string { return fmt.Sprintf("V=%08d", n) }

func witnessRequest(name string, n int, decorators ...string) *ruedov1.PublishServiceRequest {
	return &ruedov1.PublishServiceRequest{Name: name, Module: client.Digest(witness()), Env: map[string]string{"V": version(n)[2:]}, Decorators: decorators}
}

// The services of a load. The second may be executed twice.
const (
	once  = "once"
	twice = "twice"
)

// load is clients that call and write, and count all that they do.
type load struct {
	r      *ring
	pause  time.Duration // of each client between two calls
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	calls     map[string]*called
	reasons   map[string]int   // of what failed, calls and writes
	published map[string][]int // acknowledged revisions by service: what each holds
	decorated map[string]acked
	delivered map[string][]delivery
	rests     map[link][]byte // ends of what links have carried
	wrong     []string
	events    []string // failures, with their time
}

// called is a call that was made.
type called struct {
	service    string
	ok         bool
	notStarted bool
}

// delivery is a call that was written to a runner.
type delivery struct {
	to string
	at time.Time
}

// acked is the newest acknowledged write of something.
type acked struct{ content, revision int }

// newLoad publishes the services.
func newLoad(r *ring) *load {
	r.t.Helper()
	l := &load{
		r: r, pause: 40 * time.Millisecond,
		calls: make(map[string]*called), reasons: make(map[string]int), published: make(map[string][]int), decorated: make(map[string]acked),
		delivered: make(map[string][]delivery), rests: make(map[link][]byte),
	}
	c := r.client(0)
	if _, err := c.Upload(r.t.Context(), witness(), nil); err != nil {
		r.t.Fatal(err)
	}
	if _, err := c.Decorators.CreateDecorator(r.t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: &ruedov1.Decorator{
		Name: "idempotent", Policy: &ruedov1.CallPolicy{Idempotent: true},
	}}); err != nil {
		r.t.Fatal(err)
	}
	for _, req := range []*ruedov1.PublishServiceRequest{witnessRequest(once, 0), witnessRequest(twice, 0, "idempotent")} {
		if _, err := c.Services.PublishService(r.t.Context(), req); err != nil {
			r.t.Fatal(err)
		}
	}
	return l
}

// start starts clients: so many that call, and so many that write.
func (l *load) start(callers, writers int) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.r.t.Cleanup(l.stop)
	for i := range callers {
		l.wg.Go(func() {
			c := l.r.client(i)
			for n := 0; ctx.Err() == nil; n++ {
				l.call(c, []string{once, twice}[n%2])
				pause(ctx, l.pause)
			}
		})
	}
	for i := range writers {
		l.wg.Go(func() {
			c := l.r.client(i)
			for n := 1; ctx.Err() == nil; n++ {
				l.publish(c, fmt.Sprint("written-", i), n)
				pause(ctx, 5*l.pause)
				l.decorate(c, fmt.Sprint("decorated-", i), n)
				pause(ctx, 5*l.pause)
			}
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// stop ends the clients after what they are doing.
func (l *load) stop() {
	if l.cancel != nil {
		l.cancel()
	}
	l.wg.Wait()
}

// patience is how long a client waits for the answer to a call.
const patience = 5 * time.Second

func (l *load) call(c *client.Client, service string) {
	l.mu.Lock()
	id := fmt.Sprintf("call-%08d-", len(l.calls))
	made := &called{service: service}
	l.calls[id] = made
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := c.Call(ctx, service, []byte(id), client.WithContentType("text/plain"))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		p := l.failed("call", err)
		made.notStarted = p.NotStarted
		return
	}
	made.ok = true
	if want := id + version(0); string(res.Output) != want {
		l.wrong = append(l.wrong, fmt.Sprintf("%s answers %q to %s", service, res.Output, id))
	}
}

// publish publishes a revision, and calls it when it is acknowledged: the answer
// must be of this revision or a newer one.
func (l *load) publish(c *client.Client, name string, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	res, err := c.Services.PublishService(ctx, witnessRequest(name, n))
	l.mu.Lock()
	if err != nil {
		l.failed("publish", err)
		l.mu.Unlock()
		return
	}
	revision := int(res.GetService().GetRevision().GetNumber())
	for len(l.published[name]) <= revision {
		l.published[name] = append(l.published[name], 0)
	}
	l.published[name][revision] = n
	l.mu.Unlock()

	ctx, cancel = context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := c.Call(ctx, name, []byte("x"))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed("call", err)
	} else if got := string(answer.Output); got != "x"+version(n) {
		l.wrong = append(l.wrong, fmt.Sprintf("after publish of %s %d was acknowledged, it answers %q", name, n, got))
	}
}

// decorate creates or changes a decorator.
func (l *load) decorate(c *client.Client, name string, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	d := &ruedov1.Decorator{Name: name, Description: version(n)}
	update, err := c.Decorators.UpdateDecorator(ctx, &ruedov1.UpdateDecoratorRequest{Decorator: d})
	got := update.GetDecorator()
	if client.Explain(err).Reason == "DECORATOR_NOT_FOUND" {
		l.mu.Lock()
		if was, ok := l.decorated[name]; ok {
			l.wrong = append(l.wrong, fmt.Sprintf("decorator %s is not found, but revision %d was acknowledged", name, was.revision))
		}
		l.mu.Unlock()
		var created *ruedov1.CreateDecoratorResponse
		created, err = c.Decorators.CreateDecorator(ctx, &ruedov1.CreateDecoratorRequest{Decorator: d})
		got = created.GetDecorator()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed("decorate", err)
		return
	}
	if was := l.decorated[name]; int(got.GetRevision()) <= was.revision {
		l.wrong = append(l.wrong, fmt.Sprintf("decorator %s has revision %d after %d", name, got.GetRevision(), was.revision))
	}
	l.decorated[name] = acked{n, int(got.GetRevision())}
}

// allowed are the reasons that a fault can give to each kind of request. All say
// that something does not answer now. Nothing that is there is ever said not to
// be, or to be damaged, and no request is blamed.
var allowed = map[string][]string{
	"call": {"RUNNER_LOST", "NO_RUNNER", "RUNNER_DRAINING", "CORE_UNREACHABLE", "CORE_BEHIND", "DEADLINE", "QUEUE_TIMEOUT", "QUEUE_FULL",
		"GUEST_TIMEOUT"}, // a runner that was stopped and continued: its guests' time is that of the clock
	"publish": {"STORE_NO_QUORUM", "STORE_UNAVAILABLE", "CORE_UNREACHABLE", "CORE_BEHIND", "DEADLINE", "NO_RUNNER", "PREPARE_UNAVAILABLE", "RUNNER_LOST",
		"CONFLICT"}, // an earlier attempt whose answer was lost
	"decorate": {"STORE_NO_QUORUM", "STORE_UNAVAILABLE", "CORE_UNREACHABLE", "CORE_BEHIND", "DEADLINE", "CONFLICT", "ALREADY_EXISTS"},
}

// failed counts a failure, and returns its parts.
func (l *load) failed(kind string, err error) client.Problem {
	p := client.Explain(err)
	l.reasons[kind+" "+p.Reason]++
	l.events = append(l.events, fmt.Sprintf("%6.1fs %s: %s: %s", time.Since(l.r.began).Seconds(), kind, p.Reason, p.Message))
	if !slices.Contains(allowed[kind], p.Reason) {
		l.wrong = append(l.wrong, fmt.Sprintf("a %s fails with %s: %s", kind, p.Reason, p.Message))
	}
	return p
}

var callID = regexp.MustCompile(`call-\d{8}-`)

// watch has the network note to which runners each call is written.
func (l *load) watch() {
	l.r.net.tap = func(at link, b []byte) {
		if !strings.HasPrefix(at.to, "runner-") {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		b = append(l.rests[at], b...)
		for _, id := range callID.FindAll(b, -1) {
			to := l.delivered[string(id)]
			if !slices.ContainsFunc(to, func(d delivery) bool { return d.to == at.to }) {
				l.delivered[string(id)] = append(to, delivery{at.to, time.Now()})
			}
		}
		l.rests[at] = bytes.Clone(b[max(0, len(b)-len("call-00000000")):])
	}
}

// executions returns how often the guests were executed to the end, by the id of
// the call, as they say themselves.
func (l *load) executions() map[string]int {
	out := make(map[string]int)
	for _, p := range l.r.all() {
		if p.cmd.Args[1] != "runner" {
			continue
		}
		for line := range strings.Lines(p.output()) {
			if strings.Contains(line, "msg=guest") {
				if strings.Contains(line, "lines_omitted") {
					l.r.t.Errorf("a runner has not written all that guests say: %s", line)
				}
				if id := callID.FindString(line); id != "" {
					out[id]++
				}
			}
		}
	}
	return out
}

// maxEvents is how many failures a test shows, each on a line.
const maxEvents = 200

// verify compares what the clients were told with what has happened. The load
// must have ended. killed says when runners were killed.
func (l *load) verify(t *testing.T, killed map[string][]time.Time) {
	t.Helper()
	executed := l.executions()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, complaint := range judge(l.calls, executed, l.delivered, killed) {
		t.Error(complaint)
	}
	ok, repeated := 0, 0
	for id, c := range l.calls {
		if executed[id] > 1 {
			repeated++
		}
		if c.ok {
			ok++
		}
	}
	for _, w := range l.wrong {
		t.Error(w)
	}
	for _, e := range l.events[:min(len(l.events), maxEvents)] {
		t.Log(e)
	}
	for i := range l.r.cores {
		l.lost(t, i)
	}
	acknowledged := 0
	for _, held := range l.published {
		for _, n := range held {
			if n > 0 {
				acknowledged++
			}
		}
	}
	t.Logf("%d calls, %d of them succeeded, %d were executed twice; %d publishes acknowledged", len(l.calls), ok, repeated, acknowledged)
	for _, reason := range slices.Sorted(maps.Keys(l.reasons)) {
		t.Logf("%6d %s", l.reasons[reason], reason)
	}
}

// judge returns what is wrong with how often calls were executed, and to which
// runners they were sent. A runner may refuse a call, which then goes to another
// one. If it was killed in between, it has not refused it.
func judge(calls map[string]*called, executed map[string]int, delivered map[string][]delivery, killed map[string][]time.Time) (wrong []string) {
	complain := func(id, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s of service %s "+format, append([]any{id, calls[id].service}, args...)...))
	}
	for id, c := range calls {
		n, to, most := executed[id], delivered[id], 1
		if c.service == twice {
			most = 2
		}
		switch {
		case n > most:
			complain(id, "was executed %d times", n)
		case c.ok && n == 0:
			complain(id, "was answered, but never executed")
		case c.notStarted && n > 0:
			complain(id, "has provably not started, but was executed %d times", n)
		case len(to) > 2:
			complain(id, "was sent to %d runners", len(to))
		case c.service == once && len(to) > 1 && slices.ContainsFunc(killed[to[0].to], func(k time.Time) bool { return k.After(to[0].at) && k.Before(to[1].at) }):
			complain(id, "was sent to %s, which was killed, and again to %s", to[0].to, to[1].to)
		}
	}
	for id := range executed {
		if calls[id] == nil {
			wrong = append(wrong, id+" was executed, but never called")
		}
	}
	return wrong
}

// What must not happen is noticed if it does.
func TestTheJudgeOfCalls(t *testing.T) {
	begin := time.Now()
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	to := func(runners ...string) (sent []delivery) {
		for i, r := range runners {
			sent = append(sent, delivery{r, at(2 * i)})
		}
		return sent
	}
	killed := map[string][]time.Time{"killed": {at(-5), at(1)}, "killed later": {at(5)}}
	for _, row := range []struct {
		what     string
		call     called
		executed int
		sent     []delivery
		wrong    bool
	}{
		{"answered and executed", called{service: once, ok: true}, 1, to("a"), false},
		{"lost after it was executed", called{service: once}, 1, to("a"), false},
		{"lost before it was executed", called{service: once}, 0, to("a"), false},
		{"executed twice", called{service: once, ok: true}, 2, to("a", "b"), true},
		{"idempotent and executed twice", called{service: twice, ok: true}, 2, to("a", "b"), false},
		{"idempotent and executed three times", called{service: twice, ok: true}, 3, to("a", "b"), true},
		{"answered without an execution", called{service: twice, ok: true}, 0, nil, true},
		{"executed although it has not started", called{service: once, notStarted: true}, 1, to("a"), true},
		{"sent again after a runner that may have started it", called{service: once, ok: true}, 1, to("killed", "b"), true},
		{"idempotent and sent again", called{service: twice, ok: true}, 1, to("killed", "b"), false},
		{"sent again after a refusal", called{service: once, ok: true}, 1, to("killed later", "b"), false},
		{"sent to three", called{service: twice, ok: true}, 1, to("a", "b", "c"), true},
	} {
		wrong := judge(map[string]*called{"id": &row.call}, map[string]int{"id": row.executed}, map[string][]delivery{"id": row.sent}, killed)
		if row.wrong != (len(wrong) > 0) {
			t.Errorf("%s: %q", row.what, wrong)
		}
	}
	if len(judge(nil, map[string]int{"id": 1}, nil, nil)) == 0 {
		t.Error("an execution without a call is not noticed")
	}
}

// lost checks that core i has everything that was acknowledged.
func (l *load) lost(t *testing.T, i int) {
	t.Helper()
	c := strictClient("127.0.0.1:" + l.r.cores[i].port)
	for name, held := range l.published {
		stored := make(map[int]string)
		for token := ""; ; {
			page, err := c.Services.ListRevisions(t.Context(), &ruedov1.ListRevisionsRequest{Name: name, PageToken: token})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			for _, rev := range page.GetItems() {
				stored[int(rev.GetNumber())] = rev.GetEnv()["V"]
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		for number, n := range held {
			if n > 0 && "V="+stored[number] != version(n) {
				t.Errorf("%s: revision %d of %s is %q, acknowledged was %q", coreName(i), number, name, stored[number], version(n))
			}
		}
	}
	for name, want := range l.decorated {
		got, err := c.Decorators.GetDecorator(t.Context(), &ruedov1.GetDecoratorRequest{Name: name})
		if d := got.GetDecorator(); err != nil || int(d.GetRevision()) < want.revision || d.GetDescription() < version(want.content) {
			t.Errorf("%s: decorator %s is revision %d, %q, acknowledged was %d, %q: %v", coreName(i), name, d.GetRevision(), d.GetDescription(), want.revision, version(want.content), err)
		}
	}
}
