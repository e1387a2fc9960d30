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

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// caller is the caller's side of a call of kind http.
type caller struct {
	body    *io.PipeWriter // nil: the body does not stream
	from    *io.PipeReader
	head    chan []byte
	answer  *io.PipeReader
	to      *io.PipeWriter
	ended   chan error // why the answer ended
	trailer []byte
}

func newCaller(body bool) *caller {
	c := &caller{head: make(chan []byte, 1), ended: make(chan error, 1)}
	if body {
		c.from, c.body = io.Pipe()
	}
	c.answer, c.to = io.Pipe()
	return c
}

func (c *caller) exchange() *executor.Exchange {
	x := &executor.Exchange{Trailers: func() []byte { return c.trailer }, Respond: func(head []byte, body io.Reader) {
		c.head <- head
		_, err := io.Copy(c.to, body)
		_ = c.to.CloseWithError(err)
		c.ended <- err
	}}
	if c.from != nil {
		x.Body = c.from
	}
	return x
}

// call makes the call, and returns what came of it.
func (c *caller) call(ctx context.Context, ex executor.Executor, input string) <-chan result {
	done := make(chan result, 1)
	go func() {
		res, err := ex.Execute(executor.WithExchange(ctx, c.exchange()), &runnerv1.ExecuteRequest{Plan: "p", Service: "web", Head: []byte("request"), Input: []byte(input)})
		done <- result{res, err}
	}()
	return done
}

type result struct {
	res *runnerv1.ExecuteResponse
	err error
}

func wait(t *testing.T, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("the call does not end")
		return result{}
	}
}

// serving is a runner whose services are f.
func serving(f func(ctx context.Context, x *executor.Exchange, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error)) *fakeRunner {
	return &fakeRunner{execute: func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		x := executor.ExchangeOf(ctx)
		if x != nil && x.Body != nil {
			defer x.Body.Close()
		}
		return f(ctx, x, req)
	}}
}

// copying answers with the body, as it arrives.
func copying(_ context.Context, x *executor.Exchange, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	x.Respond([]byte("answer"), io.MultiReader(bytes.NewReader(req.Input), x.Body))
	return &runnerv1.ExecuteResponse{Streamed: true, Trailers: x.Trailers()}, nil
}

func TestAWholeExchangeTravelsInFrames(t *testing.T) {
	c := newCore(t, nil)
	cfg := c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		if x == nil || x.Body != nil || x.Respond == nil {
			t.Errorf("the runner got %+v", x)
		}
		return &runnerv1.ExecuteResponse{Head: append([]byte("of "), req.Head...), Output: req.Input, Trailers: []byte("trailers")}, nil
	}))
	dialled := counting(&cfg)
	l, _ := c.attach(cfg)
	r := wait(t, newCaller(false).call(t.Context(), l, "hello"))
	if r.err != nil || string(r.res.Head) != "of request" || string(r.res.Output) != "hello" || string(r.res.Trailers) != "trailers" {
		t.Errorf("got %v, %v", r.res, r.err)
	}
	if n := dialled.Load(); n != 1 {
		t.Errorf("%d connections for one lane and no stream", n)
	}
}

// TestStreamsGoInStep plays ping-pong, so nothing on the way may wait for more.
func TestStreamsGoInStep(t *testing.T) {
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", serving(copying)))
	caller := newCaller(true)
	caller.trailer = []byte("sum")
	done := caller.call(t.Context(), l, "0;")
	buf := make([]byte, 100)
	for i := range 50 {
		want := fmt.Sprintf("%d;", i)
		if i > 0 {
			_, _ = io.WriteString(caller.body, want)
		}
		if n, err := io.ReadFull(caller.answer, buf[:len(want)]); err != nil || string(buf[:n]) != want {
			t.Fatalf("step %d: %q, %v", i, buf[:n], err)
		}
	}
	caller.body.Close()
	if _, err := caller.answer.Read(buf); err != io.EOF {
		t.Errorf("the answer ended with %v", err)
	}
	if r := wait(t, done); r.err != nil || !r.res.Streamed || string(r.res.Trailers) != "sum" || string(<-caller.head) != "answer" {
		t.Errorf("got %v, %v", r.res, r.err)
	}
}

func TestTenMegabytesBothWaysAtTheSameTime(t *testing.T) {
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", serving(copying)))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			caller := newCaller(true)
			done := caller.call(t.Context(), l, "")
			want := bytes.Repeat([]byte("0123456789"), 1<<20)
			go func() { _, _ = caller.body.Write(want); caller.body.Close() }()
			got, err := io.ReadAll(caller.answer)
			if r := <-done; err != nil || r.err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v, %v", len(got), err, r.err)
			}
		})
	}
	wg.Wait()
}

// TestTheHeadOfAnAnswerDoesNotWaitForItsBody is an event stream without events yet.
func TestTheHeadOfAnAnswerDoesNotWaitForItsBody(t *testing.T) {
	c := newCore(t, nil)
	read, write := io.Pipe()
	l, _ := c.attach(c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		x.Respond([]byte("head"), read)
		return &runnerv1.ExecuteResponse{Streamed: true}, nil
	})))
	caller := newCaller(false)
	done := caller.call(t.Context(), l, "")
	if head := <-caller.head; string(head) != "head" {
		t.Errorf("got %q", head)
	}
	write.Close()
	_, _ = io.Copy(io.Discard, caller.answer)
	if r := wait(t, done); r.err != nil {
		t.Error(r.err)
	}
}

// TestACallerThatDoesNotReadStopsTheGuest also shows that another stream goes on.
func TestACallerThatDoesNotReadStopsTheGuest(t *testing.T) {
	c := newCore(t, nil)
	var written atomic.Int64
	l, _ := c.attach(c.config("edge-1", serving(func(ctx context.Context, x *executor.Exchange, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		if string(req.Input) == "copy" {
			return copying(ctx, x, req)
		}
		x.Respond(nil, readerFunc(func(p []byte) (int, error) {
			written.Add(int64(len(p)))
			return len(p), nil
		}))
		return nil, fault.FromError(context.Cause(ctx))
	})))
	ctx, cancel := context.WithCancel(t.Context())
	endless := newCaller(false)
	done := endless.call(ctx, l, "")
	<-endless.head
	testkit.Eventually(t, "the guest stands", func() bool {
		before := written.Load()
		time.Sleep(50 * time.Millisecond)
		return written.Load() == before
	})
	other := newCaller(true)
	otherDone := other.call(t.Context(), l, "copy")
	other.body.Close()
	if got, err := io.ReadAll(other.answer); string(got) != "copy" || err != nil {
		t.Errorf("another stream: %q, %v", got, err)
	}
	wait(t, otherDone)
	if n := written.Load(); n > 32<<20 { // what the system's buffers take
		t.Errorf("%d bytes were written although nobody reads them", n)
	}
	cancel()
	endless.answer.Close()
	if r := wait(t, done); !errors.Is(r.err, fault.Canceled) {
		t.Errorf("got %v", r.err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestACallerThatLeavesEndsBothStreams waits until the runner's side has ended, too.
func TestACallerThatLeavesEndsBothStreams(t *testing.T) {
	c := newCore(t, nil)
	ended := make(chan error, 1)
	l, _ := c.attach(c.config("edge-1", serving(func(ctx context.Context, x *executor.Exchange, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		_, err := copying(ctx, x, req)
		<-ctx.Done() // what it reads and writes can fail before that
		ended <- ctx.Err()
		return nil, cmpOr(err, fault.FromError(context.Canceled))
	})))
	ctx, cancel := context.WithCancel(t.Context())
	caller := newCaller(true)
	done := caller.call(ctx, l, "x")
	_, _ = io.ReadFull(caller.answer, make([]byte, 1))
	cancel()
	if r := wait(t, done); !errors.Is(r.err, fault.Canceled) {
		t.Errorf("got %v", r.err)
	}
	if err := <-ended; err == nil {
		t.Error("the guest was not stopped")
	}
	if err := <-caller.ended; err == nil {
		t.Error("the answer looks complete")
	}
	if _, err := caller.body.Write([]byte("x")); err == nil {
		t.Error("the body is still read")
	}
	testkit.Eventually(t, "no call is left", func() bool { return l.Active() == 0 })
}

func cmpOr(err error, other *fault.Error) error {
	if err != nil {
		return err
	}
	return other
}

func TestAServiceThatFailsAfterItsAnswerBegan(t *testing.T) {
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		x.Respond([]byte("head"), io.MultiReader(strings.NewReader("some"), failing{}))
		return nil, fault.New(fault.GuestTrap, "trapped")
	})))
	caller := newCaller(false)
	done := caller.call(t.Context(), l, "")
	got, err := io.ReadAll(caller.answer)
	if string(got) != "some" || err == nil {
		t.Errorf("the caller read %q, %v", got, err)
	}
	if r := wait(t, done); !errors.Is(r.err, fault.GuestTrap) {
		t.Errorf("got %v", r.err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("on purpose") }

func TestABodyThatItsCallerBreaksOffIsNotOneThatEnded(t *testing.T) {
	c := newCore(t, nil)
	read := make(chan error, 1)
	l, _ := c.attach(c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		_, err := io.Copy(io.Discard, x.Body)
		read <- err
		return &runnerv1.ExecuteResponse{Output: []byte("bad request")}, nil
	})))
	for _, why := range []error{errors.New("connection reset"), fault.New(fault.InputTooLarge, "too large")} {
		caller := newCaller(true)
		done := caller.call(t.Context(), l, "")
		_, _ = caller.body.Write([]byte("some"))
		_ = caller.body.CloseWithError(why)
		err := <-read
		if want := fault.FromError(why).Reason; err == nil || want == fault.InputTooLarge && !errors.Is(err, want) {
			t.Errorf("the guest read %v, the caller's end was %v", err, why)
		}
		// The stream itself is sound, so the service has the last word.
		if r := wait(t, done); r.err != nil || string(r.res.Output) != "bad request" {
			t.Errorf("got %v, %v", r.res, r.err)
		}
	}
}

// severing is a runner's connections, of which those for streams can be cut.
type severing struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (s *severing) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return c, err
}

// cut closes all but the first, which is the lane's own.
func (s *severing) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns[1:] {
		c.Close()
	}
	s.conns = s.conns[:1]
}

// longer is an answer that goes on where the lane takes no more of it.
var longer = strings.Repeat("0123456789abcdef", stream.Room/16+1)

func TestAStreamThatBreaksSaysSoOnBothEnds(t *testing.T) {
	for _, way := range []string{"body", "answer"} {
		t.Run(way, func(t *testing.T) {
			c := newCore(t, nil)
			conns := &severing{}
			reading, read := make(chan struct{}), make(chan error, 1)
			cfg := c.config("edge-1", serving(func(ctx context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
				if way == "body" {
					_, _ = x.Body.Read(make([]byte, 10))
					close(reading)
					_, err := x.Body.Read(make([]byte, 10))
					read <- err
					return &runnerv1.ExecuteResponse{Output: []byte("all is well")}, nil
				}
				x.Respond(nil, io.MultiReader(strings.NewReader(longer), readerFunc(func([]byte) (int, error) {
					close(reading)
					<-ctx.Done()
					return 0, ctx.Err()
				})))
				read <- ctx.Err()
				return nil, fault.FromError(ctx.Err())
			}))
			cfg.DialWith(conns.dial)
			l, _ := c.attach(cfg)
			caller := newCaller(way == "body")
			done := caller.call(t.Context(), l, "")
			if way == "body" {
				_, _ = caller.body.Write([]byte("some"))
			} else {
				_, _ = io.ReadFull(caller.answer, make([]byte, len(longer)))
			}
			<-reading
			conns.cut()
			if err := <-read; err == nil || err == io.EOF {
				t.Errorf("the guest read %v", err)
			}
			e := faultrpc.FromError(wait(t, done).err)
			if e.Reason != fault.StreamBroken || e.NotStarted || e.Fix == "" {
				t.Errorf("got %+v", e)
			}
			if way == "answer" {
				if err := <-caller.ended; !errors.Is(err, fault.StreamBroken) {
					t.Errorf("the caller read %v", err)
				}
			}
			if !l.Ready() {
				t.Error("the lane did not survive")
			}
		})
	}
}

func TestStreamsEndWithTheirLane(t *testing.T) {
	waiting := func(x *executor.Exchange, ctx context.Context) (*runnerv1.ExecuteResponse, error) {
		x.Respond(nil, io.MultiReader(strings.NewReader("some"), readerFunc(func([]byte) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})))
		return nil, fault.FromError(ctx.Err())
	}
	for name, end := range map[string]func(*core, *lane.Conn){
		"runner gone":   func(_ *core, cl *lane.Conn) { cl.Close() },
		"core stops":    func(c *core, _ *lane.Conn) { _ = c.hub.Close(context.Background()) },
		"drain timeout": func(_ *core, cl *lane.Conn) { drain(t, cl, 100*time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCore(t, nil)
			l, cl := c.attach(c.config("edge-1", serving(func(ctx context.Context, x *executor.Exchange, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
				if string(req.Input) == "silent" {
					<-ctx.Done()
					return nil, fault.FromError(ctx.Err())
				}
				return waiting(x, ctx)
			})))
			streams, silent := newCaller(true), newCaller(true)
			done := streams.call(t.Context(), l, "")
			silentDone := silent.call(t.Context(), l, "silent")
			_, _ = io.ReadFull(streams.answer, make([]byte, 4))
			testkit.Eventually(t, "both are in flight", func() bool { return l.Active() == 2 })
			go end(c, cl)
			if e := faultrpc.FromError(wait(t, done).err); e.Reason != fault.StreamBroken || e.NotStarted {
				t.Errorf("a call that streamed: %+v", e)
			}
			if err := <-streams.ended; err == nil {
				t.Error("the answer looks complete")
			}
			// Another runner may be tried for one that did not. A runner that drains
			// may have refused it already.
			if e := faultrpc.FromError(wait(t, silentDone).err); e.Reason != fault.RunnerLost && !e.NotStarted {
				t.Errorf("a call that did not stream: %+v", e)
			}
			<-cl.Done()
		})
	}
}

func drain(t *testing.T, cl *lane.Conn, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := cl.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the drain did not wait for the streams: %v", err)
	}
}

func TestADrainWaitsForStreams(t *testing.T) {
	c := newCore(t, nil)
	l, cl := c.attach(c.config("edge-1", serving(copying)))
	caller := newCaller(true)
	done := caller.call(t.Context(), l, "x")
	_, _ = io.ReadFull(caller.answer, make([]byte, 1))
	drained := make(chan error, 1)
	go func() { drained <- cl.Drain(context.Background()) }()
	testkit.Eventually(t, "it drains", func() bool { return !l.Ready() })
	_, _ = caller.body.Write([]byte("y"))
	if n, err := io.ReadFull(caller.answer, make([]byte, 1)); n != 1 {
		t.Errorf("the stream stopped: %v", err)
	}
	caller.body.Close()
	_, _ = io.Copy(io.Discard, caller.answer)
	if r := wait(t, done); r.err != nil {
		t.Error(r.err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// The guest's writes fail then, and its answer is nobody's.
func TestACallerThatReadsNoFurtherEndsTheAnswer(t *testing.T) {
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		x.Respond(nil, readerFunc(func(p []byte) (int, error) { return len(p), nil }))
		return &runnerv1.ExecuteResponse{Streamed: true, Trailers: []byte("noticed")}, nil
	})))
	ctx := executor.WithExchange(t.Context(), &executor.Exchange{Respond: func(_ []byte, body io.Reader) { _, _ = body.Read(make([]byte, 1)) }})
	res, err := l.Execute(ctx, &runnerv1.ExecuteRequest{Head: []byte("h")})
	if err == nil && string(res.GetTrailers()) != "noticed" || err != nil && !errors.Is(err, fault.Canceled) {
		t.Errorf("got %v, %v", res, err)
	}
	if !l.Ready() {
		t.Error("the lane did not survive")
	}
}

// A runner says what its executor says, but not about what it did not send.
func TestAnswersThatWereNotSent(t *testing.T) {
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		if string(req.Input) == "both" {
			x.Respond(nil, strings.NewReader("one"))
			return &runnerv1.ExecuteResponse{Output: []byte("two")}, nil
		}
		return &runnerv1.ExecuteResponse{Streamed: true}, nil
	})))
	for _, input := range []string{"none", "both"} {
		caller := newCaller(false)
		done := caller.call(t.Context(), l, input)
		if input == "both" {
			_, _ = io.Copy(io.Discard, caller.answer)
		}
		if r := wait(t, done); !errors.Is(r.err, fault.StreamBroken) {
			t.Errorf("%s: %v, %v", input, r.res, r.err)
		}
	}
}

func TestARunnerThatIsTooOldForStreams(t *testing.T) {
	c := newCore(t, nil)
	cfg := c.config("edge-1", &fakeRunner{execute: echo})
	cfg.Speak(protocol.Range{Min: 2, Max: protocol.Streams - 1})
	l, _ := c.attach(cfg)
	_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Head: []byte("h")})
	_, perr := l.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: strings.Repeat("ab", 32), Plan: &runnerv1.Plan{Kind: ruedov1.Kind_KIND_HTTP}})
	for _, err := range []error{err, perr} {
		if e := faultrpc.FromError(err); e.Reason != fault.RunnerOutdated || !e.NotStarted || !strings.Contains(e.Fix, "upgrade") {
			t.Errorf("got %+v", e)
		}
	}
	if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
		t.Errorf("a function: %v", err)
	}
}

// TestCallsThatStreamAreBoundedOnTheirOwn opens more than the runner's concurrency
// and queue, which are for functions.
func TestCallsThatStreamAreBoundedOnTheirOwn(t *testing.T) {
	c := newCore(t, nil)
	var open atomic.Int64
	cfg := c.config("edge-1", &fakeRunner{execute: func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		if len(req.Head) > 0 {
			open.Add(1)
			<-ctx.Done()
			return nil, fault.FromError(ctx.Err())
		}
		return echo(ctx, req)
	}})
	cfg.Runner.Concurrency, cfg.Runner.Queue = 2, 2
	l, _ := c.attach(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range stream.MaxCalls {
		wg.Go(func() { _, _ = l.Execute(ctx, &runnerv1.ExecuteRequest{Head: []byte("h")}) })
	}
	testkit.Eventually(t, "all are open", func() bool { return open.Load() == stream.MaxCalls })
	_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Head: []byte("h")})
	if e := faultrpc.FromError(err); e.Reason != fault.StreamsFull || !e.NotStarted || e.Meta["limit"] == "" {
		t.Errorf("got %+v", e)
	}
	if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
		t.Errorf("a function: %v", err)
	}
	cancel()
	wg.Wait()
}

// Who has no lane gets no stream, and costs nothing that lasts.
func TestStreamsAreOnlyForRunnersWithALane(t *testing.T) {
	c := newCore(t, nil)
	release := make(chan struct{})
	l, _ := c.attach(c.config("edge-1", serving(func(ctx context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		<-release
		return &runnerv1.ExecuteResponse{}, nil
	})))
	caller := newCaller(true)
	done := caller.call(t.Context(), l, "")
	testkit.Eventually(t, "it is in flight", func() bool { return l.Active() == 1 })
	for _, procedure := range []string{runnerv1connect.RunnerServiceFetchBodyProcedure, runnerv1connect.RunnerServicePushAnswerProcedure} {
		for _, secret := range []string{"", strings.Repeat("0", 32)} {
			// A body that never arrives: the answer must not wait for it.
			body, w := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+procedure, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/connect+proto")
			req.Header.Set(protocol.SecretHeader, secret)
			tr := &http.Transport{Protocols: new(http.Protocols)}
			tr.Protocols.SetUnencryptedHTTP2(true)
			res, err := tr.RoundTrip(req)
			if err != nil || res.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %q: %v, %v", procedure, secret, res, err)
			} else {
				res.Body.Close()
			}
			w.Close()
			tr.CloseIdleConnections()
		}
	}
	client := raw(t, c)
	ctx, info := connect.NewClientContext(t.Context())
	info.RequestHeader().Set(protocol.SecretHeader, "guess")
	if s, err := client.FetchBody(ctx, &runnerv1.FetchBodyRequest{Lane: "guess", Id: 1}); err == nil && s.Receive() {
		t.Error("a guess got a body")
	} else if err == nil {
		s.Close()
	}
	close(release)
	if r := wait(t, done); r.err != nil {
		t.Error(r.err)
	}
}

// TestStreamsEndAlthoughTheRunnerIsStopped cancels a call whose body is not taken and
// whose answer does not come, on connections that pass nothing any more.
func TestStreamsEndAlthoughTheRunnerIsStopped(t *testing.T) {
	c := newCore(t, func(cfg *lane.HubConfig) { cfg.LossTimeout = time.Minute })
	p := newProxy(t, c.addr)
	cfg := c.config("edge-1", serving(func(ctx context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		x.Respond(nil, io.MultiReader(io.LimitReader(x.Body, 1), readerFunc(func([]byte) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})))
		return nil, fault.FromError(context.Canceled)
	}))
	cfg.URL = p.url()
	l, _ := c.attach(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	caller := newCaller(true)
	done := caller.call(ctx, l, "")
	var sent atomic.Int64
	var sending sync.WaitGroup
	sending.Go(func() {
		for {
			n, err := caller.body.Write(make([]byte, 64<<10))
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	_, _ = io.ReadFull(caller.answer, make([]byte, 1))
	var before int64
	testkit.Eventually(t, "the body is not taken any more", func() bool {
		before = sent.Load()
		time.Sleep(50 * time.Millisecond)
		return sent.Load() == before
	})
	p.paused.Store(true)
	cancel()
	began := time.Now()
	if r := wait(t, done); !errors.Is(r.err, fault.Canceled) {
		t.Errorf("got %v", r.err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("the call ended after %s", d)
	}
	if err := <-caller.ended; err == nil {
		t.Error("the answer looks complete")
	}
	sending.Wait()
}
