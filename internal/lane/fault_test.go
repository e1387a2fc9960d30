package lane_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// proxy passes bytes until it is paused. Then it keeps the connections open and
// passes nothing, which is how a stopped process looks.
type proxy struct {
	l      net.Listener
	target string
	paused atomic.Bool
	mu     sync.Mutex
	conns  []net.Conn
	wg     sync.WaitGroup
	quit   chan struct{}
}

func newProxy(t testing.TB, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, target: target, quit: make(chan struct{})}
	p.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			p.wg.Go(func() { p.pass(in, out) })
			p.wg.Go(func() { p.pass(out, in) })
		}
	})
	t.Cleanup(func() {
		close(p.quit)
		l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "http://" + p.l.Addr().String() }

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *proxy) pass(dst, src net.Conn) {
	defer dst.Close()
	buf := make([]byte, 32<<10)
	for {
		if p.paused.Load() {
			<-p.quit
			return
		}
		n, err := src.Read(buf)
		if p.paused.Load() {
			<-p.quit
			return
		}
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func TestBrokenLaneFailsCallsAtOnce(t *testing.T) {
	c := newCore(t, nil)
	p := newProxy(t, c.addr)
	started := make(chan struct{})
	stopped := make(chan struct{})
	cfg := c.config("edge-1", &fakeRunner{execute: func(ctx context.Context, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		close(started)
		<-ctx.Done()
		close(stopped)
		return nil, fault.FromError(ctx.Err())
	}})
	cfg.URL = p.url()
	l, cl := c.attach(cfg)
	go func() { <-started; p.cut() }()
	_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{})
	e := faultrpc.FromError(err)
	if e.Reason != fault.RunnerLost || e.NotStarted || e.Meta["started"] != "unknown" || !strings.Contains(e.Message, "edge-1") || e.Fix == "" {
		t.Errorf("got %+v", e)
	}
	within(t, 5*time.Second, "guest stopped", stopped)
	within(t, 5*time.Second, "client ended", cl.Done())
	if cl.Err() == nil || l.Err() == nil || l.Ready() {
		t.Errorf("client %v, lane %v, ready %v", cl.Err(), l.Err(), l.Ready())
	}
	_, err = l.Execute(t.Context(), &runnerv1.ExecuteRequest{})
	if e := faultrpc.FromError(err); e.Reason != fault.RunnerLost || !e.NotStarted {
		t.Errorf("a call on a lost lane: %+v", e)
	}
	if _, err = l.Prepare(t.Context(), &runnerv1.PrepareRequest{}); !faultrpc.FromError(err).NotStarted {
		t.Errorf("a preparation on a lost lane: %v", err)
	}
	testkit.Eventually(t, "detached", func() bool { return c.gone.Load() == 1 })
}

func TestSilentPeerIsLost(t *testing.T) {
	c := newCore(t, func(cfg *lane.HubConfig) { cfg.Heartbeat, cfg.LossTimeout = 50*time.Millisecond, time.Second })
	p := newProxy(t, c.addr)
	started := make(chan struct{})
	cfg := c.config("edge-1", &fakeRunner{execute: func(ctx context.Context, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		close(started)
		<-ctx.Done()
		return nil, fault.FromError(ctx.Err())
	}})
	cfg.URL, cfg.Heartbeat, cfg.LossTimeout = p.url(), 50*time.Millisecond, time.Second
	l, cl := c.attach(cfg)

	// Heartbeats hold an idle lane for much longer than the loss timeout.
	select {
	case <-l.Done():
		t.Fatalf("an idle lane was lost: %v", l.Err())
	case <-cl.Done():
		t.Fatalf("an idle lane was lost: %v", cl.Err())
	case <-time.After(1500 * time.Millisecond):
	}
	go func() { <-started; p.paused.Store(true) }()
	begin := time.Now()
	_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{})
	if e := faultrpc.FromError(err); e.Reason != fault.RunnerLost || e.Meta["started"] != "unknown" {
		t.Errorf("got %+v", e)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("the loss was seen after %s", d)
	}
	within(t, 5*time.Second, "the runner's end", cl.Done())
	testkit.Eventually(t, "detached", func() bool { return c.gone.Load() == 1 })
}

func TestSlowConsumerStallsNobody(t *testing.T) {
	c := newCore(t, func(cfg *lane.HubConfig) { cfg.LossTimeout = 2 * time.Second })
	p := newProxy(t, c.addr)
	cfg := c.config("edge-slow", &fakeRunner{execute: echo})
	cfg.URL, cfg.Runner.Concurrency, cfg.Runner.Queue = p.url(), 1000, 0
	slow, _ := c.attach(cfg)
	quick, _ := c.attach(c.config("edge-quick", &fakeRunner{execute: echo}))
	p.paused.Store(true)
	in := make([]byte, lane.MaxInline) // 300 of these are more than all buffers
	var wg sync.WaitGroup
	var unsent, unknown, expired atomic.Int32
	for i := range 300 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%3 == 0 {
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
			}
			_, err := slow.Execute(ctx, &runnerv1.ExecuteRequest{Input: in})
			switch e := faultrpc.FromError(err); {
			case errors.Is(err, fault.Deadline):
				expired.Add(1)
			case e.Reason == fault.RunnerLost && e.NotStarted:
				unsent.Add(1)
			case e.Reason == fault.RunnerLost:
				unknown.Add(1)
			default:
				t.Errorf("got %+v", e)
			}
		})
	}
	if _, err := quick.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
		t.Error(err)
	}
	wg.Wait()
	t.Logf("%d not sent, %d unknown, %d expired", unsent.Load(), unknown.Load(), expired.Load())
	if expired.Load() != 100 || unsent.Load() == 0 || unknown.Load() == 0 {
		t.Error("calls that were not written must be told from those that were")
	}
}

func TestDrainLosesNothing(t *testing.T) {
	for range 10 {
		c := newCore(t, nil)
		l, cl := c.attach(c.config("edge-1", &fakeRunner{execute: echo}))
		var wg sync.WaitGroup
		var answered atomic.Int32
		for range 32 {
			wg.Go(func() {
				for {
					res, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Input: []byte("x")})
					if err == nil && string(res.Output) == "x" {
						answered.Add(1)
						continue
					}
					if e := faultrpc.FromError(err); !e.NotStarted {
						t.Errorf("lost a call: %+v", e)
					}
					return
				}
			})
		}
		testkit.Eventually(t, "under load", func() bool { return answered.Load() > 100 })
		if err := cl.Drain(t.Context()); err != nil {
			t.Errorf("drain: %v", err)
		}
		wg.Wait()
		if l.Err() != nil || l.Ready() {
			t.Errorf("after the drain: %v, ready %v", l.Err(), l.Ready())
		}
	}
}

func TestDrainIsBounded(t *testing.T) {
	c := newCore(t, nil)
	started := make(chan struct{})
	l, cl := c.attach(c.config("edge-1", &fakeRunner{execute: func(ctx context.Context, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		close(started)
		<-ctx.Done()
		return nil, fault.FromError(ctx.Err())
	}}))
	failed := make(chan error, 1)
	go func() {
		_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{})
		failed <- err
	}()
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := cl.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain: %v", err)
	}
	if err := <-failed; !errors.Is(err, fault.RunnerLost) {
		t.Errorf("call: %v", err)
	}
}

func TestAttachIsRefused(t *testing.T) {
	c := newCore(t, nil)
	for name, test := range map[string]struct {
		change func(*lane.ConnConfig)
		want   fault.Reason
	}{
		"cluster":     {func(cfg *lane.ConnConfig) { cfg.Cluster = "other" }, fault.ClusterMismatch},
		"id":          {func(cfg *lane.ConnConfig) { cfg.Runner.Id = "No Good" }, fault.RequestInvalid},
		"concurrency": {func(cfg *lane.ConnConfig) { cfg.Runner.Concurrency = 0 }, fault.RequestInvalid},
		"labels":      {func(cfg *lane.ConnConfig) { cfg.Runner.Labels = map[string]string{"zone": "\x1b[31m"} }, fault.RequestInvalid},
		"nobody":      {func(cfg *lane.ConnConfig) { cfg.Runner = nil }, fault.RequestInvalid},
		"address":     {func(cfg *lane.ConnConfig) { cfg.URL = "127.0.0.1:1" }, fault.ConfigInvalid},
		"unreachable": {func(cfg *lane.ConnConfig) { cfg.URL = "http://127.0.0.1:1" }, fault.CoreUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := c.config("edge-1", &fakeRunner{execute: echo})
			test.change(&cfg)
			cl, err := lane.Dial(t.Context(), cfg)
			if err == nil {
				cl.Close()
				t.Fatal("attached")
			}
			e := faultrpc.FromError(err)
			if e.Reason != test.want {
				t.Errorf("got %+v", e)
			}
			if strings.Contains(e.Message, "%!") {
				t.Errorf("broken text: %s", e.Message)
			}
		})
	}
	t.Run("no core", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, says nothing
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		cfg := c.config("edge-1", &fakeRunner{execute: echo})
		cfg.URL, cfg.LossTimeout = "http://"+l.Addr().String(), 30*time.Millisecond
		if _, err := lane.Dial(t.Context(), cfg); !errors.Is(err, fault.CoreUnreachable) {
			t.Errorf("got %v", err)
		}
	})
}

func TestALivingLaneKeepsItsName(t *testing.T) {
	c := newCore(t, nil)
	cfg := c.config("edge-1", &fakeRunner{execute: echo})
	cfg.Heartbeat = 50 * time.Millisecond
	l, _ := c.attach(cfg)
	for range 3 {
		_, err := lane.Dial(t.Context(), c.config("edge-1", &fakeRunner{execute: echo}))
		if e := faultrpc.FromError(err); e.Reason != fault.AlreadyExists || e.Fix == "" {
			t.Errorf("who claims the name of a living runner hears %v", err)
		}
	}
	if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
		t.Errorf("the one that was first: %v", err)
	}
}

func TestASilentLaneLosesItsNameToANewOne(t *testing.T) {
	c := newCore(t, func(cfg *lane.HubConfig) { cfg.Heartbeat, cfg.LossTimeout = 100*time.Millisecond, time.Minute })
	p := newProxy(t, c.addr)
	cfg := c.config("edge-1", &fakeRunner{execute: echo})
	cfg.URL, cfg.LossTimeout = p.url(), time.Minute
	old, _ := c.attach(cfg)
	p.paused.Store(true)
	l, _ := c.attach(c.config("edge-1", &fakeRunner{execute: echo}))
	within(t, 5*time.Second, "old lane ended", old.Done())
	if !errors.Is(old.Err(), fault.AlreadyExists) {
		t.Errorf("the old one ended with %v", old.Err())
	}
	if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
		t.Errorf("the new one: %v", err)
	}
}

func TestALaneThatDrainsLeavesItsNameToItsSuccessor(t *testing.T) {
	c := newCore(t, nil)
	started, release := make(chan struct{}), make(chan struct{})
	old, oldConn := c.attach(c.config("edge-1", &fakeRunner{execute: func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		close(started)
		<-release
		return echo(ctx, req)
	}}))
	answered := make(chan error, 1)
	go func() { _, err := old.Execute(t.Context(), &runnerv1.ExecuteRequest{}); answered <- err }()
	<-started
	drained := make(chan error, 1)
	go func() { drained <- oldConn.Drain(t.Context()) }()
	testkit.Eventually(t, "it drains", func() bool { return !old.Ready() })
	l, _ := c.attach(c.config("edge-1", &fakeRunner{execute: echo}))
	if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
		t.Errorf("the successor: %v", err)
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the call that was in flight: %v", err)
	}
	if err := <-drained; err != nil {
		t.Errorf("drain: %v", err)
	}
}

func TestCoreStops(t *testing.T) {
	c := newCore(t, nil)
	_, cl := c.attach(c.config("edge-1", &fakeRunner{execute: echo}))
	if err := c.hub.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "client ended", cl.Done())
	if !errors.Is(cl.Err(), fault.CoreUnreachable) {
		t.Errorf("got %v", cl.Err())
	}
	if _, err := lane.Dial(t.Context(), c.config("edge-1", &fakeRunner{execute: echo})); !errors.Is(err, fault.CoreUnreachable) {
		t.Errorf("a stopping core took a lane: %v", err)
	}
}

// raw opens the RPCs without this package's runner.
func raw(t *testing.T, c *core) runnerv1connect.RunnerServiceClient {
	return runnerv1connect.NewRunnerServiceClient(client(t), c.url)
}

func hello(id string) *runnerv1.RunnerFrame {
	return &runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_Hello{Hello: &runnerv1.Hello{
		Runner: &ruedov1.Runner{Id: id, Concurrency: 10}, ClusterId: "test", Protocol: protocol.Newest}}}
}

func TestFirstFrameMustBeHello(t *testing.T) {
	c := newCore(t, nil)
	for name, frames := range map[string][]*runnerv1.RunnerFrame{
		"none":     {},
		"other":    {{Kind: &runnerv1.RunnerFrame_Heartbeat{}}},
		"empty":    {{}},
		"no hello": {{Kind: &runnerv1.RunnerFrame_Hello{}}},
		"protocol": {{Kind: &runnerv1.RunnerFrame_Hello{Hello: &runnerv1.Hello{Protocol: 99}}}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, err := raw(t, c).Attach(ctx)
			if err != nil {
				t.Fatal(err)
			}
			// The core may have refused before all was sent; Receive says why.
			if err := s.Send(&runnerv1.AttachRequest{Frames: frames}); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if _, err := s.Receive(); connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("got %v", err)
			}
			_ = s.CloseRequest()
			_ = s.CloseResponse()
		})
	}
}

func TestHostileRunner(t *testing.T) {
	// It sends no heartbeats, so the core needs a long loss timeout.
	c := newCore(t, func(cfg *lane.HubConfig) { cfg.LossTimeout = time.Minute })
	api := raw(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := api.Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&runnerv1.AttachRequest{Frames: []*runnerv1.RunnerFrame{hello("bad"), {}, hello("bad"), {Id: 9, Kind: &runnerv1.RunnerFrame_Executed{}}}}); err != nil {
		t.Fatal(err)
	}
	l := c.lane()
	welcome, err := s.Receive()
	if err != nil {
		t.Fatal(err)
	}
	secret := welcome.Frames[0].GetWelcome().Lane
	if len(secret) != 32 {
		t.Errorf("secret %q", secret)
	}
	// next returns the id of the next call that the core sends.
	next := func() uint64 {
		for {
			res, err := s.Receive()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range res.Frames {
				if f.GetExecute() != nil {
					return f.Id
				}
			}
		}
	}
	call := func(in []byte) chan error {
		got := make(chan error, 1)
		go func() {
			_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Input: in})
			got <- err
		}()
		return got
	}
	send := func(frames ...*runnerv1.RunnerFrame) {
		t.Helper()
		if err := s.Send(&runnerv1.AttachRequest{Frames: frames}); err != nil {
			t.Fatal(err)
		}
	}

	var batch []*runnerv1.RunnerFrame
	for i := range 20000 {
		batch = append(batch, &runnerv1.RunnerFrame{Id: uint64(i) + 1<<40, Kind: &runnerv1.RunnerFrame_Executed{Executed: &runnerv1.ExecuteResponse{}}}, &runnerv1.RunnerFrame{Id: uint64(i)})
	}
	for len(batch) > 0 {
		n := min(len(batch), 10_000)
		send(batch[:n]...)
		batch = batch[n:]
	}
	for name, f := range map[string]*runnerv1.RunnerFrame{
		"prepared":      {Kind: &runnerv1.RunnerFrame_Prepared{Prepared: &runnerv1.PrepareResponse{}}},
		"never pushed":  {Kind: &runnerv1.RunnerFrame_ExecutedDetached{ExecutedDetached: &runnerv1.ExecuteResponse{}}},
		"empty failure": {Kind: &runnerv1.RunnerFrame_Failure{Failure: &runnerv1.Failure{}}},
		"wild failure":  {Kind: &runnerv1.RunnerFrame_Failure{Failure: &runnerv1.Failure{Code: 99, Reason: "a b"}}},
	} {
		got := call(nil)
		f.Id = next()
		send(f, f) // twice: the second one answers nothing
		if err := <-got; !errors.Is(err, fault.Internal) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Bodies belong to one lane and one call only.
	got := call(make([]byte, lane.MaxInline+1))
	id := next()
	fetch := func(secret string, id uint64) (n int, err error) {
		in, err := api.FetchInput(ctx, &runnerv1.FetchInputRequest{Lane: secret, Id: id})
		if err != nil {
			return 0, err
		}
		defer in.Close()
		for in.Receive() {
			n += len(in.Msg().Data)
		}
		return n, in.Err()
	}
	push := func(secret string, id uint64, pieces ...[]byte) error {
		out, err := api.PushOutput(ctx)
		if err != nil {
			return err
		}
		for _, p := range pieces {
			if err := out.Send(&runnerv1.PushOutputRequest{Lane: secret, Id: id, Data: p}); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
		}
		_, err = out.CloseAndReceive()
		return err
	}
	if n, err := fetch(secret, id); err != nil || n != lane.MaxInline+1 {
		t.Errorf("fetch: %d bytes, %v", n, err)
	}
	for _, who := range []struct {
		secret string
		id     uint64
	}{{strings.Repeat("0", 32), id}, {secret, id + 1}, {"", id}} {
		if _, err := fetch(who.secret, who.id); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("fetch: %v", err)
		}
		if err := push(who.secret, who.id, []byte("x")); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("push: %v", err)
		}
	}
	if err := push(secret, id); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("an empty push: %v", err)
	}
	big := make([]byte, 1<<20)
	pieces := make([][]byte, lane.MaxBody>>20+1)
	for i := range pieces {
		pieces[i] = big
	}
	if err := push(secret, id, []byte("a"), []byte("b")); err != nil {
		t.Errorf("push: %v", err)
	}
	if err := push(secret, id, []byte("c")); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("a second push: %v", err)
	}
	send(&runnerv1.RunnerFrame{Id: id, Kind: &runnerv1.RunnerFrame_ExecutedDetached{ExecutedDetached: &runnerv1.ExecuteResponse{}}})
	if err := <-got; err != nil {
		t.Errorf("call: %v", err)
	}

	got = call(nil)
	id = next()
	if err := push(secret, id, pieces...); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a push over the limit: %v", err)
	}
	send(&runnerv1.RunnerFrame{Id: id, Kind: &runnerv1.RunnerFrame_ExecutedDetached{ExecutedDetached: &runnerv1.ExecuteResponse{}}})
	if err := <-got; !errors.Is(err, fault.Internal) {
		t.Errorf("an output that was announced and not pushed: %v", err)
	}

	// A message over the limit ends this lane and nothing else.
	got = call(nil)
	next()
	_ = s.Send(&runnerv1.AttachRequest{Frames: []*runnerv1.RunnerFrame{{Id: 1, Kind: &runnerv1.RunnerFrame_Executed{Executed: &runnerv1.ExecuteResponse{Output: make([]byte, 8<<20)}}}}})
	if err := <-got; !errors.Is(err, fault.RunnerLost) {
		t.Errorf("after a message over the limit: %v", err)
	}
	within(t, 5*time.Second, "lane ended", l.Done())
}

func TestServedWithoutHandler(t *testing.T) {
	h := lane.NewHub(lane.HubConfig{Cluster: "test"})
	mux := http.NewServeMux()
	mux.Handle(runnerv1connect.NewRunnerServiceHandler(h))
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: mux, Protocols: &protocols}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	defer wg.Wait()
	defer srv.Close()
	c := &core{url: "http://" + l.Addr().String()}
	if _, err := lane.Dial(t.Context(), c.config("edge-1", &fakeRunner{})); err == nil || !strings.Contains(err.Error(), "Handler") {
		t.Errorf("got %v", err)
	}
}

// endings keeps how the streams of lanes have ended.
type endings struct{ c *core }

func (endings) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }

func (endings) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (e endings) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		err := next(ctx, conn)
		if conn.Spec().Procedure == runnerv1connect.RunnerServiceAttachProcedure {
			select {
			case e.c.ended <- err:
			default:
			}
		}
		return err
	}
}

// A runner that goes away is no reason to look for a fault in the core.
func TestARunnerThatGoesAwayIsNotAnInternalError(t *testing.T) {
	for what, leave := range map[string]func(*proxy, *lane.Conn){
		"it closes the lane":        func(_ *proxy, conn *lane.Conn) { conn.Close() },
		"the connection breaks off": func(p *proxy, _ *lane.Conn) { p.cut() },
	} {
		t.Run(what, func(t *testing.T) {
			c := newCore(t, nil)
			p := newProxy(t, c.addr)
			cfg := c.config("edge-1", &fakeRunner{execute: echo})
			cfg.URL = p.url()
			l, conn := c.attach(cfg)
			leave(p, conn)
			within(t, 5*time.Second, "the lane has ended", l.Done())
			if err := <-c.ended; err == nil || faultrpc.FromError(err).Reason == fault.Internal {
				t.Errorf("the stream ended with %v", err)
			}
		})
	}
}

// A lane that a side has ended on purpose is not lost.
func TestWhichLanesAreLost(t *testing.T) {
	c := newCore(t, nil)
	drained, conn := c.attach(c.config("drained", &fakeRunner{execute: echo}))
	if drained.Lost() {
		t.Error("a lane that is up is lost")
	}
	if err := conn.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "the lane has drained", drained.Done())
	p := newProxy(t, c.addr)
	cfg := c.config("cut", &fakeRunner{execute: echo})
	cfg.URL = p.url()
	cut, _ := c.attach(cfg)
	p.cut()
	within(t, 5*time.Second, "the lane is cut", cut.Done())
	if drained.Lost() || !cut.Lost() {
		t.Errorf("drained: %t, cut: %t", drained.Lost(), cut.Lost())
	}
}
