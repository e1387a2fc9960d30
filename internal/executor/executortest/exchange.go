package executortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// RunExchanges runs the part of the suite that is about calls of kind http. They
// call a service of sdk/web.
func RunExchanges(t *testing.T, open func(t *testing.T, src executor.Source, opts Options) Harness) {
	s := &suite{open: open, guest: build(t, "./testdata/web"), dir: t.TempDir()}
	s.served = s.serves(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"whole", s.whole},
		{"a body streams", s.bodyStreams},
		{"an answer streams", s.answerStreams},
		{"both in step", s.inStep},
		{"10 MiB both ways", s.bothWays},
		{"the head does not wait for the body", s.headFirst},
		{"a caller that does not read stops the guest", s.backPressure},
		{"a caller leaves in the middle", s.leaves},
		{"a body that broke off", s.bodyBreaks},
		{"the guest fails after its answer began", s.failsLate},
	} {
		t.Run(test.name, test.run)
	}
}

// serve returns the executor with the service, for a test. All tests share it.
func (s *suite) serve(t *testing.T) *fixture {
	f := *s.served
	f.t = t
	return &f
}

// serves opens an executor with the service, ready for calls: a module of net/http
// takes long to compile and to load.
func (s *suite) serves(t *testing.T) *fixture {
	f := s.fixture(t, Options{}, func(p *runnerv1.Plan) {
		p.Kind = ruedov1.Kind_KIND_HTTP
		p.HttpExamples = []*ruedov1.HttpExample{{Path: "/hello"}, {Method: "POST", Path: "/copy", Body: []byte("example")}}
		p.Limits.Timeout = durationpb.New(time.Minute)
		p.Limits.InputBytes, p.Limits.OutputBytes = 64<<20, 64<<20
	})
	if _, err := f.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: f.plan}); err != nil {
		t.Fatal(err)
	}
	return f
}

// caller is the caller's side of one call.
type caller struct {
	t      *testing.T
	body   *io.PipeWriter // to the guest
	answer *io.PipeReader // of the guest, if it streams
	head   chan []byte
	ended  chan error // with which the answer ended
	done   chan struct{}
	res    *runnerv1.ExecuteResponse
	err    error
}

// ask calls the service. With streams, what is given of the body is only its
// beginning, and trailers may follow the rest.
func (f *fixture) ask(ctx context.Context, path, body string, streams bool, trailers ...string) *caller {
	c := &caller{t: f.t, head: make(chan []byte, 1), ended: make(chan error, 1), done: make(chan struct{})}
	read, write := io.Pipe()
	answer, to := io.Pipe()
	c.answer = answer
	method := "GET"
	x := &executor.Exchange{Respond: func(head []byte, body io.Reader) {
		c.head <- head
		_, err := io.Copy(to, body)
		_ = to.CloseWithError(err)
		c.ended <- err
	}}
	if streams {
		method, c.body, x.Body = "POST", write, read
		x.Trailers = func() []byte { return fields(trailers...) }
	}
	head := fields(abi.HeadMethod, method, abi.HeadPath, path, abi.HeadAuthority, "test", abi.HeadScheme, "http", abi.HeadProto, "HTTP/2.0")
	if len(trailers) > 0 {
		head = abi.AppendField(head, "trailer", trailers[0])
	}
	f.t.Cleanup(func() { write.Close(); answer.Close() })
	go func() {
		defer close(c.done)
		c.res, c.err = f.Execute(executor.WithExchange(ctx, x), &runnerv1.ExecuteRequest{
			Plan: f.plan, CallId: "call-1", Service: "guest", Caller: "user/ada", Head: head, Input: []byte(body), MaxWaitNanos: int64(time.Hour),
		})
	}()
	return c
}

// wait waits for the end of the call.
func (c *caller) wait() (*runnerv1.ExecuteResponse, error) {
	c.t.Helper()
	select {
	case <-c.done:
		return c.res, c.err
	case <-time.After(2 * patience):
		c.t.Fatal("the call does not end")
		return nil, nil
	}
}

// fields encodes names and values.
func fields(pairs ...string) (head []byte) {
	for i := 0; i+1 < len(pairs); i += 2 {
		head = abi.AppendField(head, pairs[i], pairs[i+1])
	}
	return head
}

// field returns a field of a head.
func field(head []byte, name string) string {
	for {
		key, value, rest, ok := abi.NextField(head)
		if !ok || strings.EqualFold(key, name) {
			return value
		}
		head = rest
	}
}

func (s *suite) whole(t *testing.T) {
	f := s.serve(t)
	res, err := f.ask(t.Context(), "/hello", "", false).wait()
	if err != nil || res.Streamed || string(res.Output) != "hello" || field(res.Head, abi.HeadStatus) != "200" || field(res.Head, "x-method") != "GET" || field(res.Head, "x-caller") != "user/ada" {
		t.Errorf("got %v, %v", res, err)
	}
	if res.GetInfo().GetRunner() == "" || res.GetInfo().GetDuration().AsDuration() <= 0 {
		t.Errorf("figures %v", res.GetInfo())
	}
}

func (s *suite) bodyStreams(t *testing.T) {
	f := s.serve(t)
	c := f.ask(t.Context(), "/count", "first bytes", true)
	_, _ = c.body.Write(make([]byte, 3<<20))
	c.body.Close()
	if res, err := c.wait(); err != nil || string(res.Output) != "mmm" {
		t.Errorf("got %v, %v", res, err)
	}
}

func (s *suite) answerStreams(t *testing.T) {
	f := s.serve(t)
	c := f.ask(t.Context(), "/copy", "first ", true, "X-Sum", "42")
	_, _ = io.WriteString(c.body, "second")
	got := make([]byte, len("first second"))
	if _, err := io.ReadFull(c.answer, got); err != nil {
		t.Error(err)
	}
	c.body.Close()
	rest, err := io.ReadAll(c.answer)
	res, cerr := c.wait()
	if string(got) != "first second" || len(rest) != 0 || err != nil || cerr != nil || !res.Streamed || len(res.Output) != 0 {
		t.Errorf("%q, %v; %v, %v", got, err, res, cerr)
	}
	if field(res.GetTrailers(), "x-sum") != "42" {
		t.Errorf("trailers %q", res.GetTrailers())
	}
	if field(<-c.head, abi.HeadStatus) != "200" {
		t.Error("the head has no status")
	}
}

// inStep plays ping-pong, so nothing on the way may wait for more.
func (s *suite) inStep(t *testing.T) {
	f := s.serve(t)
	c := f.ask(t.Context(), "/copy", "", true)
	buf := make([]byte, 16)
	for i := range 30 {
		ping := fmt.Sprintf("ping %d", i)
		_, _ = io.WriteString(c.body, ping)
		if n, err := io.ReadFull(c.answer, buf[:len(ping)]); err != nil || string(buf[:n]) != ping {
			t.Fatalf("%s: %q, %v", ping, buf[:n], err)
		}
	}
	c.body.Close()
	if _, err := c.answer.Read(buf); err != io.EOF {
		t.Errorf("the answer ended with %v", err)
	}
	if _, err := c.wait(); err != nil {
		t.Error(err)
	}
}

func (s *suite) bothWays(t *testing.T) {
	f := s.serve(t)
	c := f.ask(t.Context(), "/copy", "", true)
	want := bytes.Repeat([]byte("0123456789abcdef"), 10<<16)
	var sent sync.WaitGroup
	sent.Go(func() {
		_, _ = c.body.Write(want)
		c.body.Close()
	})
	got, err := io.ReadAll(c.answer)
	if _, cerr := c.wait(); err != nil || cerr != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, %v", len(got), err, cerr)
	}
	sent.Wait()
}

func (s *suite) headFirst(t *testing.T) {
	f := s.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := f.ask(ctx, "/wait", "", false)
	select {
	case head := <-c.head:
		if field(head, abi.HeadStatus) != "200" {
			t.Errorf("head %q", head)
		}
	case <-time.After(patience):
		t.Error("no head came")
	}
	cancel()
	if _, err := c.wait(); !errors.Is(err, fault.Canceled) {
		t.Errorf("got %v", err)
	}
}

// backPressure reads nothing of an endless answer. What waits for the caller is
// bounded on the way, so neither the guest nor memory goes on.
func (s *suite) backPressure(t *testing.T) {
	f := s.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.ask(t.Context(), "/hello", "", false).wait()
	before := heap()
	c := f.ask(ctx, "/endless", "", false)
	<-c.head
	// Its output limit would end it, were it to go on.
	select {
	case <-c.done:
		t.Errorf("the call ended: %v", c.err)
	case <-time.After(time.Second):
	}
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("%d bytes wait for a caller that does not read", grown)
	}
	if _, err := io.ReadFull(c.answer, make([]byte, 20<<20)); err != nil {
		t.Errorf("when the caller reads again: %v", err)
	}
	cancel()
	c.answer.Close() // the guest's writes fail, so it may return before it is stopped
	if _, err := c.wait(); err != nil && !errors.Is(err, fault.Canceled) {
		t.Errorf("got %v", err)
	}
}

// heap returns how much of the Go heap is in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (s *suite) leaves(t *testing.T) {
	f := s.serve(t)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		c := f.ask(ctx, "/copy", "x", true)
		if _, err := io.ReadFull(c.answer, make([]byte, 1)); err != nil {
			t.Error(err)
		}
		cancel()
		if _, err := c.wait(); !errors.Is(err, fault.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := <-c.ended; err == nil {
			t.Error("the answer looks complete")
		}
		if _, err := c.body.Write([]byte("more")); err == nil {
			t.Error("the body is still read")
		}
	}
	if busy, ok := f.Runner.(executor.Busy); ok {
		testkit.Eventually(t, "no call is left", func() bool { return len(busy.InFlight(1)) == 0 })
	}
	if res, err := f.ask(t.Context(), "/hello", "", false).wait(); err != nil || string(res.Output) != "hello" {
		t.Errorf("the next call: %v, %v", res, err)
	}
}

func (s *suite) bodyBreaks(t *testing.T) {
	f := s.serve(t)
	c := f.ask(t.Context(), "/count", "first", true)
	_, _ = c.body.Write([]byte("some"))
	_ = c.body.CloseWithError(errors.New("the connection broke"))
	if res, err := c.wait(); err != nil || field(res.Head, abi.HeadStatus) != "400" {
		t.Errorf("the guest took it for complete: %v, %v", res, err)
	}
}

func (s *suite) failsLate(t *testing.T) {
	f := s.serve(t)
	c := f.ask(t.Context(), "/fail", "", false)
	got, err := io.ReadAll(c.answer)
	if string(got) != "some" || err == nil {
		t.Errorf("the caller read %q, %v", got, err)
	}
	if _, err := c.wait(); err == nil || errors.Is(err, fault.StreamBroken) || fault.FromError(err).NotStarted {
		t.Errorf("got %v", err)
	}
}
