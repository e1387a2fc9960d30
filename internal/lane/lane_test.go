package lane_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(forms{m}) }

// fakeRunner executes calls with functions, so that the protocol is tested on
// its own.
type fakeRunner struct {
	execute executor.Func
	prepare func(context.Context, *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error)
	source  executor.Source
}

func (f *fakeRunner) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	return f.execute(ctx, req)
}

func (f *fakeRunner) Prepare(ctx context.Context, req *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error) {
	return f.prepare(ctx, req)
}

func echo(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	return &runnerv1.ExecuteResponse{Output: req.Input, ContentType: req.ContentType,
		Info: &ruedov1.CallInfo{Runner: "someone else", Duration: durationpb.New(7), MemoryBytes: 1 << 20}}, nil
}

// memory is a source that keeps its plans and modules in memory.
type memory struct {
	plans   map[string]*runnerv1.Plan
	modules map[string][]byte
}

func (m *memory) Plan(_ context.Context, id string) (*runnerv1.Plan, error) {
	if p := m.plans[id]; p != nil {
		return p, nil
	}
	return nil, fault.New(fault.PlanNotFound, "no plan %s", id)
}

func (m *memory) Module(_ context.Context, digest string) (io.ReadCloser, error) {
	if b, ok := m.modules[digest]; ok {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return nil, fault.New(fault.ModuleNotFound, "no module %s", digest)
}

// core is a hub behind a real server.
type core struct {
	t     testing.TB
	hub   *lane.Hub
	url   string
	addr  string
	lanes chan *lane.Lane
	gone  atomic.Int32
	ended chan error // of the streams of lanes, as far as there is room
}

func newCore(t testing.TB, change func(*lane.HubConfig)) *core {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newCoreOn(t, l, change)
}

func newCoreOn(t testing.TB, l net.Listener, change func(*lane.HubConfig)) *core {
	t.Helper()
	c := &core{t: t, lanes: make(chan *lane.Lane, 16), ended: make(chan error, 16)}
	cfg := lane.HubConfig{
		Core:    &ruedov1.Core{Id: "core-1"},
		Cluster: "test",
		Source:  &memory{},
		OnAttach: func(l *lane.Lane) func() {
			c.lanes <- l
			return func() { c.gone.Add(1) }
		},
	}
	if change != nil {
		change(&cfg)
	}
	c.hub = lane.NewHub(cfg)
	mux := http.NewServeMux()
	mux.Handle(c.hub.Handler(connect.WithInterceptors(endings{c})))
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: mux, Protocols: &protocols, HTTP2: &http.HTTP2Config{WriteByteTimeout: time.Second}}
	c.addr = l.Addr().String()
	c.url = "http://" + c.addr
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.hub.Close(ctx); err != nil {
			t.Errorf("lanes did not end: %v", err)
		}
		srv.Close()
		<-served
	})
	return c
}

func (c *core) config(id string, r executor.Runner) lane.ConnConfig {
	return lane.ConnConfig{
		URL:     c.url,
		Way:     way(),
		Cluster: "test",
		Runner:  &ruedov1.Runner{Id: id, Name: id, Concurrency: 64, Queue: 256},
		Bind: func(s executor.Source) executor.Runner {
			if f, ok := r.(*fakeRunner); ok {
				f.source = s
			}
			return r
		},
	}
}

func (c *core) lane() *lane.Lane {
	c.t.Helper()
	select {
	case l := <-c.lanes:
		return l
	case <-time.After(10 * time.Second):
		c.t.Fatal("no lane came")
		return nil
	}
}

// attach dials and returns both ends.
func (c *core) attach(cfg lane.ConnConfig) (*lane.Lane, *lane.Conn) {
	c.t.Helper()
	cl, err := lane.Dial(c.t.Context(), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	if cl.Upgraded() != upgraded {
		c.t.Fatalf("the lane has a connection of its own: %t, want %t", cl.Upgraded(), upgraded)
	}
	return c.lane(), cl
}

func within(t testing.TB, d time.Duration, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s: not within %s", what, d)
	}
}

func TestCallRidesTheLane(t *testing.T) {
	c := newCore(t, nil)
	var got *runnerv1.ExecuteRequest
	l, cl := c.attach(c.config("edge-1", &fakeRunner{execute: func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		got = req
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the deadline did not travel")
		}
		return echo(ctx, req)
	}}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	res, err := l.Execute(ctx, &runnerv1.ExecuteRequest{Plan: "p", CallId: "c", Service: "greet", Input: []byte("hi"), ContentType: "text/plain", Caller: "user/ada", Logs: true})
	if err != nil {
		t.Fatal(err)
	}
	if got.Plan != "p" || got.CallId != "c" || got.Service != "greet" || got.Caller != "user/ada" || !got.Logs {
		t.Errorf("the runner got %v", got)
	}
	if _, err := l.Execute(ctx, &runnerv1.ExecuteRequest{}); err != nil || got.Caller != "" {
		t.Errorf("a call of nobody is one of %q, %v", got.Caller, err)
	}
	for _, caller := range []string{strings.Repeat("a", executor.MaxCaller+1), "user/ada\n"} {
		if _, err := l.Execute(ctx, &runnerv1.ExecuteRequest{Caller: caller}); !errors.Is(err, fault.RequestInvalid) || !faultrpc.FromError(err).NotStarted || got.Caller != "" {
			t.Errorf("a call of %q: %v", caller, err)
		}
	}
	if string(res.Output) != "hi" || res.ContentType != "text/plain" || res.Info.Duration.AsDuration() != 7 {
		t.Errorf("the core got %v", res)
	}
	if res.Info.Runner != "edge-1" {
		t.Errorf("a runner may only speak for itself, but the info names %q", res.Info.Runner)
	}
	if l.Info().Id != "edge-1" || !l.Ready() || l.Active() != 0 || l.Total() != 2 || cl.CoreID() != "core-1" {
		t.Errorf("info %v ready %v active %d total %d core %s", l.Info(), l.Ready(), l.Active(), l.Total(), cl.CoreID())
	}
}

func TestEachCallGetsItsOwnAnswer(t *testing.T) {
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", &fakeRunner{execute: echo}))
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := range 50 {
				in := fmt.Sprintf("%d/%d", g, i)
				if i%25 == 0 { // some longer than MaxInline
					in += strings.Repeat(".", lane.MaxInline)
				}
				res, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Input: []byte(in)})
				if err != nil {
					t.Errorf("%s: %v", in[:5], err)
				} else if string(res.Output) != in {
					t.Errorf("%.10s got the answer of %.10s", in, res.Output)
				}
			}
		})
	}
	wg.Wait()
	if l.Active() != 0 || l.Total() != 64*50 {
		t.Errorf("active %d total %d", l.Active(), l.Total())
	}
}

func TestLargeBodiesAndLogs(t *testing.T) {
	c := newCore(t, nil)
	logs := bytes.Repeat([]byte("log\n"), 300<<10)
	trapped := fault.New(fault.GuestTrap, "trapped") // an error may be retained, so sending it must not change it
	trapped.Details = []any{&ruedov1.CallInfo{Logs: logs, Duration: durationpb.New(9)}}
	l, _ := c.attach(c.config("edge-1", &fakeRunner{execute: func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		o := &ruedov1.CallInfo{Logs: logs, Duration: durationpb.New(9)}
		switch req.Service {
		case "fail":
			return nil, trapped
		case "logs":
			return &runnerv1.ExecuteResponse{Output: []byte("short"), Info: o}, nil
		}
		return &runnerv1.ExecuteResponse{Output: req.Input, Info: o}, nil
	}}))
	for _, n := range []int{0, lane.MaxInline, lane.MaxInline + 1, 1 << 20, 5<<20 + 3} {
		in := bytes.Repeat([]byte{byte(n), 1, 2}, n/3+1)[:n]
		res, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Input: in})
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !bytes.Equal(res.Output, in) || !bytes.Equal(res.Info.Logs, logs) {
			t.Errorf("%d bytes: %d came back, and %d of log", n, len(res.Output), len(res.Info.Logs))
		}
	}
	res, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Service: "logs"})
	if err != nil || string(res.Output) != "short" || !bytes.Equal(res.Info.Logs, logs) {
		t.Errorf("long log with a short output: %v, %v", len(res.GetInfo().GetLogs()), err)
	}
	for range 2 {
		_, err = l.Execute(t.Context(), &runnerv1.ExecuteRequest{Service: "fail"})
		if o, ok := fault.Detail[*ruedov1.CallInfo](err); !ok || !bytes.Equal(o.Logs, logs) {
			t.Errorf("long log of a failure: %v", err)
		}
	}
	_, err = l.Execute(t.Context(), &runnerv1.ExecuteRequest{Input: make([]byte, lane.MaxBody+1)})
	if !errors.Is(err, fault.InputTooLarge) || !faultrpc.FromError(err).NotStarted {
		t.Errorf("an input over the limit: %v", err)
	}
}

func TestErrorsTravelUnchanged(t *testing.T) {
	c := newCore(t, nil)
	var fail error
	l, _ := c.attach(c.config("edge-1", &fakeRunner{execute: func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return nil, fail
	}}))
	info := &ruedov1.CallInfo{Duration: durationpb.New(5), ExitCode: 3}
	fail = &fault.Error{Reason: fault.GuestError, Code: fault.CodeAlreadyExists, Message: "taken", Fix: "choose another", Meta: map[string]string{"a": "b"}, Details: []any{info}}
	_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{})
	e := faultrpc.FromError(err)
	if !errors.Is(err, fault.GuestError) || e.ConnectCode() != fault.CodeAlreadyExists || e.Message != "taken" || e.Fix != "choose another" || e.Meta["a"] != "b" || e.NotStarted {
		t.Errorf("got %+v", e)
	}
	if o, ok := fault.Detail[*ruedov1.CallInfo](err); !ok || o.Duration.AsDuration() != 5 || o.ExitCode != 3 || o.Runner != "edge-1" {
		t.Errorf("outcome %v", o)
	}
	fail = notStarted(fault.New(fault.QueueFull, "full"))
	if _, err = l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); !faultrpc.FromError(err).NotStarted || !errors.Is(err, fault.QueueFull) {
		t.Errorf("got %+v", err)
	}
	if l.Total() != 1 {
		t.Errorf("a refused call counts as executed: %d", l.Total())
	}
	fail = &fault.Error{Reason: "made up by a guest", Message: "bad \xff text" + strings.Repeat("x", 1<<20)}
	if _, err = l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); !errors.Is(err, fault.Internal) || len(err.Error()) > 20<<10 {
		t.Errorf("an invented reason: %.100v", err)
	}
}

func notStarted(e *fault.Error) *fault.Error { e.NotStarted = true; return e }

func TestAnswersThatDoNotFit(t *testing.T) {
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", &fakeRunner{execute: func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		switch req.Service {
		case "utf8":
			return &runnerv1.ExecuteResponse{ContentType: "\xff\xfe"}, nil
		case "long":
			return &runnerv1.ExecuteResponse{ContentType: strings.Repeat("x", 2<<20)}, nil
		}
		panic("a bug")
	}}))
	for _, s := range []string{"utf8", "long", "panic"} {
		if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Service: s}); !errors.Is(err, fault.Internal) {
			t.Errorf("%s: %v", s, err)
		}
	}
	if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Service: "\xff"}); !errors.Is(err, fault.RequestInvalid) || !faultrpc.FromError(err).NotStarted {
		t.Errorf("a request that cannot be encoded: %v", err)
	}
	if !l.Ready() {
		t.Error("the lane did not survive")
	}
}

func TestCancelAndDeadlineReachTheRunner(t *testing.T) {
	c := newCore(t, nil)
	started := make(chan struct{}, 1)
	ended := make(chan error, 1)
	l, _ := c.attach(c.config("edge-1", &fakeRunner{execute: func(ctx context.Context, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		started <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, fault.FromError(ctx.Err())
	}}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if _, err := l.Execute(ctx, &runnerv1.ExecuteRequest{}); !errors.Is(err, fault.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := <-ended; err != context.Canceled {
		t.Errorf("the runner saw %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Execute(ctx, &runnerv1.ExecuteRequest{}); !errors.Is(err, fault.Deadline) {
		t.Errorf("deadline: %v", err)
	}
	<-ended
	if _, err := l.Execute(ctx, &runnerv1.ExecuteRequest{}); !errors.Is(err, fault.Deadline) || !faultrpc.FromError(err).NotStarted {
		t.Errorf("past deadline: %v", err)
	}
	if l.Active() != 0 {
		t.Errorf("%d calls are still counted", l.Active())
	}
}

// A core waits for an answer no longer than until the deadline, whoever has the timer.
func TestACallEndsAtItsDeadlineWithoutAnAnswer(t *testing.T) {
	c := newCore(t, nil)
	release := make(chan struct{})
	defer close(release)
	l, _ := c.attach(c.config("edge-1", &fakeRunner{execute: func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		<-release
		return nil, fault.New(fault.Internal, "too late")
	}}))
	why := errors.New("unanswered")
	for name, begin := range map[string]func(at time.Time) (context.Context, func()){
		"the context": func(at time.Time) (context.Context, func()) { return context.WithDeadlineCause(t.Context(), at, why) },
		"the lane": func(at time.Time) (context.Context, func()) {
			d := executor.WithDeadline(t.Context(), at, why)
			return d, d.Stop
		},
	} {
		at := time.Now().Add(20 * time.Millisecond)
		ctx, end := begin(at)
		_, err := l.Execute(ctx, &runnerv1.ExecuteRequest{})
		if !errors.Is(err, fault.Deadline) || faultrpc.FromError(err).NotStarted || context.Cause(ctx) != why || time.Now().Before(at) {
			t.Errorf("the timer is with %s: %v because of %v", name, err, context.Cause(ctx))
		}
		end()
	}
	if l.Active() != 0 {
		t.Errorf("%d calls are still counted", l.Active())
	}
}

func TestRequestMayBeReusedAfterCancel(t *testing.T) {
	// Under -race this shows that nothing reads the request after Execute.
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", &fakeRunner{execute: func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		<-ctx.Done()
		return nil, fault.FromError(ctx.Err())
	}}))
	for _, n := range []int{10, 4 << 20} {
		in := make([]byte, n)
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := l.Execute(ctx, &runnerv1.ExecuteRequest{Input: in})
			cancel()
			if err == nil {
				t.Fatal("no error")
			}
			clear(in)
			in[0]++
		}
	}
}

func TestQueueFullIsRefusedWithoutSending(t *testing.T) {
	c := newCore(t, nil)
	var calls atomic.Int32
	release := make(chan struct{})
	cfg := c.config("edge-1", &fakeRunner{execute: func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		calls.Add(1)
		<-release
		return echo(ctx, req)
	}})
	cfg.Runner.Concurrency, cfg.Runner.Queue = 2, 1
	l, _ := c.attach(cfg)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
				t.Error(err)
			}
		})
	}
	testkit.Eventually(t, "three calls in flight", func() bool { return calls.Load() == 3 })
	_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{})
	if e := faultrpc.FromError(err); e.Reason != fault.QueueFull || !e.NotStarted || !strings.Contains(e.Message, "3 calls") {
		t.Errorf("got %+v", e)
	}
	close(release)
	wg.Wait()
	if calls.Load() != 3 || l.Active() != 0 {
		t.Errorf("calls %d active %d", calls.Load(), l.Active())
	}
}

func TestPrepareAndSource(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	long := &runnerv1.Plan{Service: "long", Example: make([]byte, 1<<20)}
	module := bytes.Repeat([]byte("wasm"), 400<<10)
	c := newCore(t, func(cfg *lane.HubConfig) {
		cfg.Source = &memory{plans: map[string]*runnerv1.Plan{digest: {Service: "stored"}}, modules: map[string][]byte{digest: module}}
	})
	id := strings.Repeat("cd", 32)
	f := &fakeRunner{execute: echo}
	f.prepare = func(ctx context.Context, req *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error) {
		plan := req.Plan
		if plan == nil {
			var err error
			if plan, err = f.source.Plan(ctx, req.Id); err != nil {
				return nil, err
			}
		}
		if plan.Service == "bad" {
			return nil, fault.New(fault.CompileFailed, "no")
		}
		return &runnerv1.PrepareResponse{Preparation: &ruedov1.Preparation{MemoryBytes: uint64(len(plan.Example))}}, nil
	}
	l, _ := c.attach(c.config("edge-1", f))
	// The runner fetches a plan that is too long for the lane, although no
	// store has it.
	res, err := l.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: id, Plan: long})
	if err != nil || res.Preparation.GetMemoryBytes() != 1<<20 {
		t.Errorf("long plan: %v, %v", res, err)
	}
	if _, err := f.source.Plan(t.Context(), id); !errors.Is(err, fault.PlanNotFound) {
		t.Errorf("the offer outlived the preparation: %v", err)
	}
	if _, err = l.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: id, Plan: &runnerv1.Plan{Service: "bad"}}); !errors.Is(err, fault.CompileFailed) {
		t.Errorf("bad plan: %v", err)
	}
	if p, err := f.source.Plan(t.Context(), digest); err != nil || p.Service != "stored" {
		t.Errorf("plan: %v, %v", p, err)
	}
	if _, err := f.source.Plan(t.Context(), "../x"); !errors.Is(err, fault.RequestInvalid) {
		t.Errorf("bad plan id: %v", err)
	}
	r, err := f.source.Module(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, module) {
		t.Errorf("module: %d bytes, %v", len(got), err)
	}
	r.Close()
	r, err = f.source.Module(t.Context(), id)
	if err == nil {
		_, err = io.ReadAll(r)
		r.Close()
	}
	if !errors.Is(err, fault.ModuleNotFound) {
		t.Errorf("unknown module: %v", err)
	}
}

// Only a core that says so is asked for chunks: an older one would send the
// module as a whole.
func TestModulesTravelInChunksSinceProtocol3(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	module := bytes.Repeat([]byte("wasm"), 400<<10)
	for number, want := range map[uint32]bool{2: false, protocol.ModuleChunks: true} {
		c := newCore(t, func(cfg *lane.HubConfig) {
			cfg.Source = &memory{modules: map[string][]byte{digest: module}}
			cfg.Speak(protocol.Range{Min: 1, Max: number})
		})
		f := &fakeRunner{execute: echo}
		c.attach(c.config("edge-1", f))
		r, err := f.source.Module(t.Context(), digest)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.(executor.Chunked); ok != want {
			t.Errorf("protocol %d: in chunks: %t", number, ok)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, module) {
			t.Errorf("protocol %d, as a whole: %d bytes, %v", number, len(got), err)
		}
		r.Close()
	}
}
