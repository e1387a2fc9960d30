package lane_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

const small, large = 100 << 10, 10 << 20

// withPlans adds two services: one may answer with 100 KiB, one with 10 MiB.
func withPlans(cfg *lane.HubConfig) {
	patient(cfg)
	cfg.BodyBytes = 32 << 20
	cfg.Source = &memory{plans: map[string]*runnerv1.Plan{
		"small": {Limits: &ruedov1.Limits{OutputBytes: small, LogBytes: 1 << 10}},
		"large": {Limits: &ruedov1.Limits{OutputBytes: large, LogBytes: 1 << 10}},
	}}
}

func TestAPushIsBoundedByTheServicesOwnLimit(t *testing.T) {
	c := newCore(t, withPlans)
	s := newStranger(t, c)
	for name, first := range map[string]*runnerv1.PushOutputRequest{
		"announced":       {OutputBytes: small + 1},
		"announced log":   {LogBytes: 64 << 10},
		"endless":         {OutputBytes: 1 << 63},
		"not announced":   {Data: make([]byte, small+1)},
		"unannounced log": {Logs: make([]byte, 64<<10)},
		"more than said":  {OutputBytes: 10, Data: make([]byte, 11)},
	} {
		id, ended := s.call(t.Context(), "small")
		out := s.push(id, first)
		_, err := out.CloseAndReceive()
		if e := faultrpc.FromError(err); e.Reason != fault.GuestOutputLimit || e.Fix == "" {
			t.Errorf("%s: %v", name, err)
		}
		s.send(&runnerv1.RunnerFrame{Id: id, Kind: &runnerv1.RunnerFrame_ExecutedDetached{ExecutedDetached: &runnerv1.ExecuteResponse{}}})
		if err := <-ended; !errors.Is(err, fault.Internal) {
			t.Errorf("%s: the call: %v", name, err)
		}
	}
	id, _ := s.call(t.Context(), "small")
	if _, err := s.push(id, &runnerv1.PushOutputRequest{OutputBytes: 10}).CloseAndReceive(); connect.CodeOf(err) != connect.CodeInternal {
		t.Errorf("less than was announced: %v", err)
	}
}

func TestACallHasOnePushAndACancelledCallFreesItWithoutDelay(t *testing.T) {
	c := newCore(t, withPlans)
	s := newStranger(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	id, ended := s.call(ctx, "large")
	first := s.push(id, &runnerv1.PushOutputRequest{OutputBytes: large})
	send := func(out *connect.ClientStreamForClientSimple[runnerv1.PushOutputRequest, runnerv1.PushOutputResponse]) error {
		return out.Send(&runnerv1.PushOutputRequest{Data: make([]byte, 1<<20)})
	}
	if err := send(first); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it is the call's push", func() bool {
		_, err := s.push(id, &runnerv1.PushOutputRequest{OutputBytes: large}).CloseAndReceive()
		return connect.CodeOf(err) == connect.CodeNotFound
	})
	cancel()
	if err := <-ended; !errors.Is(err, fault.Canceled) {
		t.Errorf("the call: %v", err)
	}
	answered := make(chan error, 1)
	go func() { _, err := first.CloseAndReceive(); answered <- err }()
	// Only the end of its call ends the stream.
	select {
	case err := <-answered:
		if err == nil {
			t.Error("a push for a call that is over was taken")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the push goes on after its call")
	}
	// All of the memory is free again: the next call gets all that a lane may
	// have.
	id, ended = s.call(t.Context(), "large")
	out := s.push(id, &runnerv1.PushOutputRequest{OutputBytes: large})
	for range large >> 20 {
		if err := send(out); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := out.CloseAndReceive(); err != nil {
		t.Errorf("the next push: %v", err)
	}
	s.send(&runnerv1.RunnerFrame{Id: id, Kind: &runnerv1.RunnerFrame_ExecutedDetached{ExecutedDetached: &runnerv1.ExecuteResponse{}}})
	if err := <-ended; err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestPushesOverTheBudgetWaitAndHoldUpNoOtherRunner(t *testing.T) {
	c := newCore(t, withPlans)
	s := newStranger(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// One lane gets half of 32 MiB: one of these, and two that wait.
	for range 3 {
		id, _ := s.call(ctx, "large")
		s.push(id, &runnerv1.PushOutputRequest{OutputBytes: large})
	}
	honest, _ := c.attach(c.config("edge-1", &fakeRunner{execute: func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return &runnerv1.ExecuteResponse{Output: make([]byte, large)}, nil
	}}))
	began := time.Now()
	for range 3 {
		res, err := honest.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: "large"})
		if err != nil || len(res.Output) != large {
			t.Fatalf("%d bytes, %v", len(res.GetOutput()), err)
		}
	}
	if took := time.Since(began); took > testkit.Patience {
		t.Errorf("it took %s", took)
	}
}

// gated is a source that holds back its modules until the test lets them
// through.
type gated struct {
	memory
	opened chan string
	let    chan struct{}
}

func (g *gated) Module(ctx context.Context, digest string) (io.ReadCloser, error) {
	g.opened <- digest
	select {
	case <-g.let:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return g.memory.Module(ctx, digest)
}

func TestModulesAreServedAFewAtATimeAndStrangersWaitForEachOther(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	src := &gated{memory: memory{modules: map[string][]byte{digest: make([]byte, 1<<20)}}, opened: make(chan string, 64), let: make(chan struct{})}
	c := newCore(t, func(cfg *lane.HubConfig) { cfg.Source = src })
	fetch := func(from func() (io.ReadCloser, error), done chan error) {
		r, err := from()
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		done <- err
	}
	api := raw(t, c)
	done := make(chan error, 64)
	for range 10 {
		go func() {
			stream, err := api.FetchModule(t.Context(), &runnerv1.FetchModuleRequest{Digest: digest})
			for err == nil && stream.Receive() {
			}
			if err == nil {
				err = stream.Err()
				stream.Close()
			}
			done <- err
		}()
	}
	for range 2 {
		<-src.opened
	}
	f := &fakeRunner{execute: echo}
	c.attach(c.config("edge-1", f))
	for range 10 {
		go fetch(func() (io.ReadCloser, error) { return f.source.Module(t.Context(), digest) }, done)
	}
	for range 4 { // a peer with a lane does not wait for strangers
		<-src.opened
	}
	select {
	case <-src.opened:
		t.Error("more than 2 strangers or 4 fetches of one lane are served at the same time")
	case <-time.After(100 * time.Millisecond):
	}
	close(src.let)
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
