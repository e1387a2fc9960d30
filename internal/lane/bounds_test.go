package lane_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// stranger is a hand-written runner that can send anything.
type stranger struct {
	t      *testing.T
	api    runnerv1connect.RunnerServiceClient
	stream *connect.BidiStreamForClientSimple[runnerv1.AttachRequest, runnerv1.AttachResponse]
	lane   *lane.Lane
	secret string
	ctx    context.Context
}

func newStranger(t *testing.T, c *core) *stranger {
	t.Helper()
	return strangerOf(t, c, protocol.Newest)
}

func strangerOf(t *testing.T, c *core, protocol uint32) *stranger {
	t.Helper()
	return strangerWith(t, c, func(h *runnerv1.Hello) { h.Protocol = protocol })
}

// strangerWithLogs is a stranger that says that it answers questions for logs.
func strangerWithLogs(t *testing.T, c *core) *stranger {
	t.Helper()
	return strangerWith(t, c, func(h *runnerv1.Hello) { h.Logs = true })
}

func strangerWith(t *testing.T, c *core, change func(*runnerv1.Hello)) *stranger {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s := &stranger{t: t, api: raw(t, c), ctx: ctx}
	var err error
	if s.stream, err = s.api.Attach(ctx); err != nil {
		t.Fatal(err)
	}
	first := hello("bad")
	change(first.GetHello())
	s.send(first)
	s.lane = c.lane()
	welcome, err := s.stream.Receive()
	if err != nil {
		t.Fatal(err)
	}
	s.secret = welcome.Frames[0].GetWelcome().Lane
	return s
}

func (s *stranger) send(frames ...*runnerv1.RunnerFrame) {
	s.t.Helper()
	if err := s.stream.Send(&runnerv1.AttachRequest{Frames: frames}); err != nil {
		s.t.Fatal(err)
	}
}

// call makes the core send a call, and returns its id and the channel that
// receives its error when it ends.
func (s *stranger) call(ctx context.Context, plan string) (id uint64, ended chan error) {
	s.t.Helper()
	ended = make(chan error, 1)
	go func() {
		_, err := s.lane.Execute(ctx, &runnerv1.ExecuteRequest{Plan: plan})
		ended <- err
	}()
	for {
		res, err := s.stream.Receive()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range res.Frames {
			if f.GetExecute() != nil {
				return f.Id, ended
			}
		}
	}
}

// push opens a push and sends its first message.
func (s *stranger) push(id uint64, first *runnerv1.PushOutputRequest) *connect.ClientStreamForClientSimple[runnerv1.PushOutputRequest, runnerv1.PushOutputResponse] {
	s.t.Helper()
	out, err := s.api.PushOutput(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	first.Lane, first.Id = s.secret, id
	if err := out.Send(first); err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatal(err)
	}
	return out
}

func patient(cfg *lane.HubConfig) { cfg.LossTimeout = time.Minute } // a stranger sends no heartbeats

func TestAHelloIsBoundedBeforeItIsRead(t *testing.T) {
	c := newCore(t, nil)
	s, err := raw(t, c).Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := hello("edge-1")
	h.GetHello().Runner.Host = strings.Repeat("h", 1_400_000)
	_ = s.Send(&runnerv1.AttachRequest{Frames: []*runnerv1.RunnerFrame{h}})
	if _, err := s.Receive(); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("got %v", err)
	}
	if len(c.lanes) != 0 {
		t.Error("it got a lane")
	}
}

func TestWhatARunnerSaysOfItselfIsCut(t *testing.T) {
	c := newCore(t, nil)
	cfg := c.config("edge-1", &fakeRunner{execute: echo})
	long := "line\nforged \u202e\x1b[31m" + strings.Repeat("x", 2<<10)
	cfg.Runner.Name, cfg.Runner.Host, cfg.Runner.Version, cfg.Runner.RegisteredBy = long, long, long, long
	cfg.Runner.StartTime = &timestamppb.Timestamp{Seconds: 1 << 62, Nanos: -7}
	cfg.Runner.Labels = map[string]string{"zone": "eu-1", "gpu": ""}
	cfg.Runner.State, cfg.Runner.TotalCalls, cfg.Runner.ActiveCalls = ruedov1.RunnerState_RUNNER_STATE_DETACHED, 1<<63, 1<<31
	l, _ := c.attach(cfg)
	i := l.Info()
	for what, s := range map[string]string{"name": i.Name, "host": i.Host, "version": i.Version} {
		if len(s) > 300 || strings.ContainsAny(s, "\n\x1b\u202e") || !strings.HasPrefix(s, "line") {
			t.Errorf("%s has %d bytes: %.40q", what, len(s), s)
		}
	}
	if i.RegisteredBy != "" || i.State != 0 || i.TotalCalls != 0 || i.ActiveCalls != 0 || i.StartTime != nil || i.Concurrency != 64 {
		t.Errorf("it says what it cannot know: %v", i)
	}
	if !maps.Equal(i.Labels, cfg.Runner.Labels) {
		t.Errorf("labels %v", i.Labels)
	}
}

func TestLanesAreBounded(t *testing.T) {
	for name, change := range map[string]func(*lane.HubConfig){
		"of one address": func(cfg *lane.HubConfig) { cfg.MaxLanesPerAddress = 3 },
		"in all":         func(cfg *lane.HubConfig) { cfg.MaxLanes = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCore(t, change)
			var last *lane.Conn
			for _, id := range []string{"a", "b", "c"} {
				_, last = c.attach(c.config(id, &fakeRunner{execute: echo}))
			}
			_, err := lane.Dial(t.Context(), c.config("d", &fakeRunner{execute: echo}))
			if e := faultrpc.FromError(err); e.Reason != fault.LaneLimit || e.Meta["limit"] != "3" || e.Fix == "" || !strings.Contains(e.Message, "3 lanes") {
				t.Errorf("the fourth: %+v", e)
			}
			last.Close()
			testkit.Eventually(t, "there is room again", func() bool {
				cl, err := lane.Dial(t.Context(), c.config("d", &fakeRunner{execute: echo}))
				if err == nil {
					t.Cleanup(cl.Close)
				}
				return err == nil
			})
		})
	}
}

// TestAttemptsThatFailFillNoLog attaches in a loop under an invalid id.
func TestAttemptsThatFailFillNoLog(t *testing.T) {
	var log testkit.Log
	c := newCore(t, func(cfg *lane.HubConfig) {
		cfg.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	})
	cfg := c.config("edge-1", &fakeRunner{execute: echo})
	cfg.Cluster = strings.Repeat("c\n", 6<<10)
	limited := 0
	for range 300 {
		_, err := lane.Dial(t.Context(), cfg)
		if errors.Is(err, fault.LaneLimit) {
			limited++
		} else if !errors.Is(err, fault.ClusterMismatch) {
			t.Fatal(err)
		}
	}
	if limited < 100 {
		t.Errorf("%d of 300 attempts in quick succession were refused for that", limited)
	}
	if n := strings.Count(log.String(), "\n"); n > 100 || len(log.String()) > 100*1024 {
		t.Errorf("300 attempts wrote %d lines, %d bytes", n, len(log.String()))
	}
}

func TestNothingOnThePrivateWireIsCompressedOrJSON(t *testing.T) {
	c := newCore(t, nil)
	bomb := bytes.Repeat([]byte{0}, 32<<20)
	for what, opt := range map[string]connect.ClientOption{"gzip": connect.WithSendGzip(), "JSON": connect.WithProtoJSON(), "gRPC gzip": connect.WithClientOptions(connect.WithGRPC(), connect.WithSendGzip())} {
		t.Run(what, func(t *testing.T) {
			var protocols http.Protocols
			protocols.SetUnencryptedHTTP2(true)
			tr := &http.Transport{Protocols: &protocols}
			defer tr.CloseIdleConnections()
			api := runnerv1connect.NewRunnerServiceClient(&http.Client{Transport: tr}, c.url, opt)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var before, after runtime.MemStats
			errs := map[string]error{}
			_, errs["GetPlan"] = api.GetPlan(ctx, &runnerv1.GetPlanRequest{Id: strings.Repeat("0", 64)})
			s, err := api.Attach(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Send(&runnerv1.AttachRequest{Frames: []*runnerv1.RunnerFrame{hello("edge-1")}})
			_, errs["Attach"] = s.Receive()
			_ = s.CloseRequest()
			_ = s.CloseResponse()
			p, err := api.PushOutput(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if what != "JSON" {
				_ = p.Send(&runnerv1.PushOutputRequest{Data: bomb})
			}
			runtime.ReadMemStats(&before)
			_, errs["PushOutput"] = p.CloseAndReceive()
			runtime.ReadMemStats(&after)
			for procedure, err := range errs {
				if err == nil || connect.CodeOf(err) == connect.CodeNotFound {
					t.Errorf("%s: %v", procedure, err)
				}
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
				t.Errorf("it cost %d bytes", n)
			}
		})
	}
}

func TestAMessageOfTooManyFramesIsNotDecoded(t *testing.T) {
	c := newCore(t, patient)
	s := newStranger(t, c)
	msg := &runnerv1.AttachRequest{}
	msg.ProtoReflect().SetUnknown(bytes.Repeat([]byte{0x0a, 0}, 500_000)) // empty frames: 1 MB, over 50 MB when decoded
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := s.stream.Send(msg); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "lane ended", s.lane.Done())
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("it cost %d bytes", n)
	}
}

func TestFiguresThatCannotBeAreRefused(t *testing.T) {
	c := newCore(t, patient)
	s := newStranger(t, c)
	for name, o := range map[string]*ruedov1.CallInfo{
		"negative duration": {Duration: durationpb.New(-1)},
		"endless duration":  {Duration: durationpb.New(1<<63 - 1)},
		"negative cpu":      {CpuTime: durationpb.New(-1 << 63)},
		"negative restore":  {RestoreTime: durationpb.New(-5)},
		"a broken duration": {Duration: &durationpb.Duration{Seconds: 1, Nanos: 2e9}},
		"much memory":       {MemoryBytes: 1 << 63},
		"much fuel":         {Fuel: 1<<64 - 1},
	} {
		id, ended := s.call(t.Context(), "")
		s.send(&runnerv1.RunnerFrame{Id: id, Kind: &runnerv1.RunnerFrame_Executed{Executed: &runnerv1.ExecuteResponse{Info: o}}})
		if e := faultrpc.FromError(<-ended); e.Reason != fault.Internal || !strings.Contains(e.Message, "runner bad") {
			t.Errorf("%s: %v", name, e)
		}
		id, ended = s.call(t.Context(), "")
		s.send(&runnerv1.RunnerFrame{Id: id, Kind: &runnerv1.RunnerFrame_Failure{Failure: &runnerv1.Failure{Reason: "GUEST_TRAP", Message: "trapped", Info: o}}})
		err := <-ended
		if _, ok := fault.Detail[*ruedov1.CallInfo](err); !errors.Is(err, fault.GuestTrap) || ok {
			t.Errorf("%s of a failure: %v, its figures were kept: %t", name, err, ok)
		}
	}
	for name, p := range map[string]*ruedov1.Preparation{
		"compile": {CompileTime: durationpb.New(-1)}, "start": {StartTime: durationpb.New(-1 << 63)}, "warm": {WarmTime: durationpb.New(1<<63 - 1)}, "memory": {MemoryBytes: 1<<64 - 1},
	} {
		prepared := make(chan error, 1)
		go func() {
			_, err := s.lane.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: "p"})
			prepared <- err
		}()
		id := s.next()
		s.send(&runnerv1.RunnerFrame{Id: id, Kind: &runnerv1.RunnerFrame_Prepared{Prepared: &runnerv1.PrepareResponse{Preparation: p}}})
		if err := <-prepared; !errors.Is(err, fault.Internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// next returns the id of the next preparation.
func (s *stranger) next() uint64 {
	s.t.Helper()
	for {
		res, err := s.stream.Receive()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range res.Frames {
			if f.GetPrepare() != nil || f.GetReadLogs() != nil {
				return f.Id
			}
		}
	}
}

func TestTextsOfARunnerAreCut(t *testing.T) {
	c := newCore(t, patient)
	s := newStranger(t, c)
	facts := make(map[string]string)
	for i := range 1000 {
		facts[strings.Repeat("k", i)] = strings.Repeat("v", 100)
	}
	facts["long"] = strings.Repeat("v", 100<<10)
	id, ended := s.call(t.Context(), "")
	s.send(&runnerv1.RunnerFrame{Id: id, Kind: &runnerv1.RunnerFrame_Failure{Failure: &runnerv1.Failure{
		Reason: "GUEST_ERROR", Message: strings.Repeat("m", 100<<10), Fix: strings.Repeat("f", 100<<10), Metadata: facts, Info: &ruedov1.CallInfo{Logs: make([]byte, 100<<10)}}}})
	e := faultrpc.FromError(<-ended)
	size := len(e.Message) + len(e.Fix)
	for k, v := range e.Meta {
		size += len(k) + len(v)
	}
	for _, d := range e.Details {
		size += proto.Size(d.(proto.Message))
	}
	if e.Reason != fault.GuestError || size > 60<<10 {
		t.Errorf("%s of %d bytes, %d facts", e.Reason, size, len(e.Meta))
	}
	id, ended = s.call(t.Context(), "")
	s.send(&runnerv1.RunnerFrame{Id: id, Kind: &runnerv1.RunnerFrame_Executed{Executed: &runnerv1.ExecuteResponse{ContentType: strings.Repeat("c", 100<<10)}}})
	if err := <-ended; !errors.Is(err, fault.Internal) || len(err.Error()) > 1<<10 {
		t.Errorf("a content type: %v", err)
	}
	id, ended = s.call(t.Context(), "")
	s.send(&runnerv1.RunnerFrame{Id: id, Kind: &runnerv1.RunnerFrame_Executed{Executed: &runnerv1.ExecuteResponse{Output: make([]byte, 1<<19)}}})
	if err := <-ended; !errors.Is(err, fault.Internal) {
		t.Errorf("an output that should have been pushed: %v", err)
	}
	if _, err := s.lane.Execute(t.Context(), &runnerv1.ExecuteRequest{ContentType: strings.Repeat("c", 100<<10)}); !errors.Is(err, fault.RequestInvalid) || !faultrpc.FromError(err).NotStarted {
		t.Errorf("a caller's content type: %v", err)
	}
}
