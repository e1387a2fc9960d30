package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/names"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/runner"
)

// records returns the lines of a log in JSON that have a message.
func records(log *testkit.Log, msg string) []map[string]any {
	var out []map[string]any
	for line := range strings.Lines(log.String()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["msg"] == msg {
			out = append(out, m)
		}
	}
	return out
}

func TestReattachesWhenTheCoreIsBack(t *testing.T) {
	h := newHost(t, executortest.NewSource())
	var log testkit.Log
	r := newRunner(t, runner.Config{Cores: []string{h.url()}, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	stop := serve(t, r)
	first := h.lane()
	attached := func(n int) {
		t.Helper()
		testkit.Eventually(t, "attached", func() bool { return len(records(&log, "attached to core")) == n })
	}
	attached(1)
	h.stop()
	<-first.Done()
	testkit.Eventually(t, "it is said that the core is gone", func() bool { return len(records(&log, "cannot attach to core, retrying")) == 1 })
	h.start()
	second := h.lane()
	if !second.Ready() || second.Info().Id != r.Info().Id {
		t.Errorf("the new lane: %v", second.Info())
	}
	attached(2)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if a, d := len(records(&log, "attached to core")), len(records(&log, "detached from core")); a != 2 || d != 2 {
		t.Errorf("attached %d times, detached %d times", a, d)
	}
	if n := len(records(&log, "cannot attach to core, retrying")); n != 1 {
		t.Errorf("said %d times that the core cannot be reached", n)
	}
}

// A core would take it for one that was lost.
func TestARunnerThatIsStoppedWhileItAttachesLeavesInOrder(t *testing.T) {
	h := newHost(t, executortest.NewSource())
	h.hold = make(chan struct{})
	r := newRunner(t, runner.Config{Cores: []string{h.url()}})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	l := h.lane()
	stop()
	close(h.hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-l.Done()
	if err := l.Err(); err != nil {
		t.Error(err)
	}
}

func TestARunnerSaysThatItWaitsForACore(t *testing.T) {
	d := &directory{cores: make(chan []*ruedov1.Core)}
	var log testkit.Log
	r := newRunner(t, runner.Config{Directory: d, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	stop := serve(t, r)
	d.cores <- nil
	testkit.Eventually(t, "it is said that there is no core", func() bool {
		return len(records(&log, "the cluster has no core, waiting for one")) == 1
	})
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestEachCallIsLogged(t *testing.T) {
	src := executortest.NewSource()
	id, _ := src.Add(executortest.Guest(t), func(p *runnerv1.Plan) { p.Service, p.Revision = "greet", 7 })
	h := newHost(t, src)
	var log testkit.Log
	r := newRunner(t, runner.Config{Cores: []string{h.url()}, Logger: slog.New(slog.NewJSONHandler(&log, nil)), ID: "edge-1"})
	serve(t, r)
	l := h.lane()
	for _, in := range []string{"echo secret-payload", "fail secret-payload"} {
		_, _ = l.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id, CallId: "id-of-" + in[:4], Service: "greet", Input: []byte(in)})
	}
	lines := records(&log, "executed call")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, want := range []struct{ call, outcome string }{{"id-of-echo", "ok"}, {"id-of-fail", "GUEST_ERROR"}} {
		m := lines[i]
		if m["level"] != "INFO" || m["service"] != "greet" || m["call_id"] != want.call || m["outcome"] != want.outcome || m["revision"] != 7.0 || m["duration"] == 0.0 || m["runner"] != "edge-1" {
			t.Errorf("got %v", m)
		}
	}
	if strings.Contains(log.String(), "secret-payload") {
		t.Error("a payload is in the log")
	}
}

// directory is a store that a test controls.
type directory struct {
	cores chan []*ruedov1.Core
	mu    sync.Mutex
	fails int
	in    []*ruedov1.Runner
	left  int
}

func (d *directory) Cores(ctx context.Context) <-chan []*ruedov1.Core {
	out := make(chan []*ruedov1.Core)
	go func() {
		defer close(out)
		for {
			select {
			case list := <-d.cores:
				select {
				case out <- list:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (d *directory) Register(_ context.Context, r *ruedov1.Runner) (func(context.Context) error, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails > 0 {
		d.fails--
		return nil, fault.New(fault.StoreUnavailable, "away")
	}
	d.in = append(d.in, r)
	return func(context.Context) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.left++
		return nil
	}, nil
}

func TestFollowsTheDirectory(t *testing.T) {
	a, b := newHost(t, executortest.NewSource()), newHost(t, executortest.NewSource())
	d := &directory{cores: make(chan []*ruedov1.Core), fails: 2}
	r := newRunner(t, runner.Config{Cores: []string{a.url()}, Directory: d})
	stop := serve(t, r)
	onA := a.lane()
	if !onA.Registered() {
		t.Error("the core would register a runner that registers itself")
	}
	// a is listed twice and dialled once; one core has no address yet.
	d.cores <- []*ruedov1.Core{{Id: "a", Url: a.url()}, {Id: "b", Url: b.url()}, {Id: "c"}}
	onB := b.lane()
	d.cores <- nil // b lost its lease, not its lane
	d.cores <- nil
	if !onB.Ready() || !onA.Ready() {
		t.Error("a lane was given up")
	}
	b.stop()
	<-onB.Done()
	b.start() // it is no longer wanted
	d.cores <- []*ruedov1.Core{{Id: "b", Url: b.url()}}
	b.lane()
	testkit.Eventually(t, "registered", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return len(d.in) == 1 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if d.left != 1 || d.in[0].Id != r.Info().Id {
		t.Errorf("left %d times, %v", d.left, d.in)
	}
	if len(a.lanes) != 0 {
		t.Error("one core was attached to twice")
	}
}

func TestDrainIsBounded(t *testing.T) {
	src := executortest.NewSource()
	id, _ := src.Add(executortest.Guest(t), func(p *runnerv1.Plan) {
		p.Limits.Timeout, p.Limits.Concurrency = durationpb.New(time.Hour), 1
	})
	h := newHost(t, src)
	r := newRunner(t, runner.Config{Cores: []string{h.url()}, DrainTimeout: 100 * time.Millisecond})
	stop := serve(t, r)
	l := h.lane()
	if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id, Input: []byte("echo x")}); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		err := error(fault.ConcurrencyLimit) // if another call was faster
		for errors.Is(err, fault.ConcurrencyLimit) {
			_, err = l.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id, Input: []byte("spin")})
		}
		failed <- err
	}()
	testkit.Eventually(t, "the call executes", func() bool {
		_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id, Input: []byte("echo x")})
		return errors.Is(err, fault.ConcurrencyLimit)
	})
	if err := stop(); !errors.Is(err, fault.Deadline) || !strings.Contains(err.Error(), "100ms") {
		t.Errorf("got %v", err)
	}
	if err := <-failed; !errors.Is(err, fault.RunnerLost) {
		t.Errorf("the call: %v", err)
	}
}

func TestCloseRefusesCalls(t *testing.T) {
	src := executortest.NewSource()
	id, plan := src.Add([]byte("x"), nil)
	r := newRunner(t, runner.Config{})
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := r.Bind(src)
	_, err := b.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id})
	if !errors.Is(err, fault.RunnerDraining) || !fault.FromError(err).NotStarted {
		t.Errorf("execute: %v", err)
	}
	if _, err = b.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: id, Plan: plan}); !errors.Is(err, fault.RunnerDraining) {
		t.Errorf("prepare: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]runner.Config{
		"id":          {ID: "Not_valid"},
		"concurrency": {Concurrency: -1},
		"queue":       {Queue: 1 << 30},
	} {
		if _, err := runner.New(t.Context(), cfg); !errors.Is(err, fault.ConfigInvalid) || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := newRunner(t, runner.Config{}).Serve(t.Context()); !errors.Is(err, fault.ConfigInvalid) {
		t.Errorf("no core: %v", err)
	}
	for _, host := range []string{"", "Rack-7.example.org", "__", "a" + strings.Repeat("-b", 60), "Ärger"} {
		r := newRunner(t, runner.Config{Host: host})
		if i := r.Info(); !names.Valid(i.Id) || !strings.HasPrefix(i.Id, i.Name[:min(len(i.Name), 50)]) || i.Concurrency == 0 || i.Queue != runner.DefaultQueue || i.StartTime == nil {
			t.Errorf("%q: %v", host, i)
		}
	}
	if r := newRunner(t, runner.Config{Queue: -1}); r.Info().Queue != 0 {
		t.Errorf("no queue: %v", r.Info())
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runner.New(t.Context(), runner.Config{CacheDir: file}); !errors.Is(err, fault.DataDir) {
		t.Errorf("a file as a directory: %v", err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	r, err := runner.New(t.Context(), runner.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
