// Package executortest is one conformance suite for everything that executes
// calls, wherever the runner sits: in this process or behind a lane.
//
// A test of an executor calls [Run] with a function that opens one:
//
//	executortest.Run(t, func(t *testing.T, src executor.Source, opts executortest.Options) executortest.Harness {
//		r := newRunner(t, opts)
//		return executortest.Harness{Runner: r.Bind(src), Drain: r.Close}
//	})
//
// The suite calls real WebAssembly: a guest that echoes, fails, spins, sleeps
// and logs on request.
package executortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// Options are what a test asks of the executor.
type Options struct {
	// CacheDir outlives a single test, so that the guest is compiled once. An
	// executor may use another one that does.
	CacheDir string
	// Concurrency and Queue of the runner; zero means its defaults. A Queue
	// below zero means none.
	Concurrency, Queue int
}

// Harness is an executor under test.
type Harness struct {
	executor.Runner
	// Drain makes it stop accepting calls and returns when those in flight are
	// done. Nil skips the test.
	Drain func(context.Context) error
}

// patience is how long a test waits for what should happen immediately.
const patience = 15 * time.Second

type suite struct {
	open  func(*testing.T, executor.Source, Options) Harness
	guest []byte
	dir   string

	served *fixture // of the tests of exchanges
}

// Run runs the suite. open is called once per test and cleans up by t.
func Run(t *testing.T, open func(t *testing.T, src executor.Source, opts Options) Harness) {
	s := &suite{open: open, guest: Guest(t), dir: t.TempDir()}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"echo", s.echo},
		{"empty input", s.empty},
		{"large bodies", s.large},
		{"guest errors", s.guestErrors},
		{"limits", s.limits},
		{"logs", s.logs},
		{"logs are kept", s.keptLogs},
		{"nothing leaks between calls", s.pristine},
		{"environment", s.environment},
		{"who calls", s.caller},
		{"cancel stops the guest", s.cancel},
		{"deadline stops the guest", s.deadline},
		{"each call gets its own answer", s.concurrent},
		{"queue full", s.queueFull},
		{"queue timeout", s.queueTimeout},
		{"a waiting call can be cancelled", s.cancelWaiting},
		{"drain loses nothing", s.drain},
		{"an unknown plan is asked for once", s.askedOnce},
		{"no such plan", s.noPlan},
		{"prepare", s.prepare},
		{"prepare fails", s.prepareFails},
		{"a forged module is never used", s.forged},
		{"a forged plan is never used", s.forgedPlan},
	} {
		t.Run(test.name, test.run)
	}
}

func (s *suite) echo(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	res, err := f.call(t.Context(), "echo hello")
	if err != nil {
		t.Fatal(err)
	}
	if string(res.Output) != "hello" {
		t.Errorf("output %q", res.Output)
	}
	if o := res.Info; o.GetRunner() == "" || o.GetDuration().AsDuration() <= 0 || o.GetMemoryBytes() == 0 {
		t.Errorf("outcome %v", o)
	}
}

func (s *suite) empty(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	f.want("echo ", "")
	_, err := f.call(t.Context(), "")
	if !errors.Is(err, fault.GuestError) {
		t.Errorf("got %v", err)
	}
}

func (s *suite) large(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	for _, n := range []int{32 << 10, 32<<10 + 1, 1 << 20, 3 << 20} {
		body := strings.Repeat("0123456789abcdef", n/16+1)[:n]
		f.want("echo "+body, body)
	}
}

func (s *suite) guestErrors(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	_, err := f.call(t.Context(), "fail Ada")
	e := fault.FromError(err)
	if e.Reason != fault.GuestError || e.ConnectCode() != fault.CodeAlreadyExists || e.Message != "Ada is taken" || e.NotStarted {
		t.Errorf("got %+v", e)
	}
	if o, ok := fault.Detail[*ruedov1.CallInfo](err); !ok || o.Runner == "" || o.Duration.AsDuration() <= 0 {
		t.Errorf("a failure has an outcome too: %v", o)
	}
	_, err = f.call(t.Context(), "exit")
	if o, ok := fault.Detail[*ruedov1.CallInfo](err); !errors.Is(err, fault.GuestExit) || !ok || o.ExitCode != 3 {
		t.Errorf("exit: %v, %v", err, o)
	}
	if _, err = f.call(t.Context(), "panic"); err == nil || fault.FromError(err).NotStarted {
		t.Errorf("panic: %v", err)
	}
	f.want("echo still there", "still there")
}

func (s *suite) limits(t *testing.T) {
	f := s.fixture(t, Options{}, func(p *runnerv1.Plan) {
		p.Limits.Timeout = durationpb.New(time.Second)
		p.Limits.InputBytes = 100
		p.Limits.OutputBytes = 1000
	})
	f.want("echo warm", "warm")
	for input, want := range map[string]fault.Reason{
		"spin":                             fault.GuestTimeout,
		"sleep":                            fault.GuestTimeout,
		"big 1001":                         fault.GuestOutputLimit,
		"echo " + strings.Repeat("x", 200): fault.InputTooLarge,
	} {
		begin := time.Now()
		_, err := f.call(t.Context(), input)
		if !errors.Is(err, want) {
			t.Errorf("%.20s: got %v", input, err)
		}
		if d := time.Since(begin); d > patience {
			t.Errorf("%.20s: took %s", input, d)
		}
	}
	f.want("echo still there", "still there")

	small, _ := f.src.Add(s.guest, func(p *runnerv1.Plan) {
		p.Limits.MemoryBytes = 32 << 20
		p.Limits.Timeout = durationpb.New(time.Minute)
	})
	_, err := f.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: small, Input: []byte("grow")})
	if !errors.Is(err, fault.GuestMemory) {
		t.Errorf("grow: got %v", err)
	}
	f.want("echo still there", "still there")
}

func (s *suite) logs(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	res, err := f.call(t.Context(), "log something")
	if err != nil || !bytes.Contains(res.GetInfo().GetLogs(), []byte("something")) {
		t.Errorf("logs %q, %v", res.GetInfo().GetLogs(), err)
	}
	_, err = f.call(t.Context(), "logfail something")
	if o, _ := fault.Detail[*ruedov1.CallInfo](err); !bytes.Contains(o.GetLogs(), []byte("something")) {
		t.Errorf("logs of a failure %q, %v", o.GetLogs(), err)
	}
	res, err = f.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: f.plan, Input: []byte("log something")})
	if err != nil || len(res.GetInfo().GetLogs()) != 0 {
		t.Errorf("logs that nobody asked for: %q, %v", res.GetInfo().GetLogs(), err)
	}
}

func (s *suite) pristine(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	for range 5 {
		f.want("count", "1")
	}
}

func (s *suite) environment(t *testing.T) {
	t.Setenv("RUEDO_SECRET_OF_THE_HOST", "secret")
	f := s.fixture(t, Options{}, func(p *runnerv1.Plan) { p.Env = map[string]string{"CITY": "Ronda"} })
	f.want("env CITY", "Ronda")
	f.want("env RUEDO_SECRET_OF_THE_HOST", "")
}

// caller: a guest sees who calls it, and never who has called before.
func (s *suite) caller(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	for _, caller := range []string{"", "user/ada", "anonymous", "", "okta/" + strings.Repeat("a", 251), ""} {
		res, err := f.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: f.plan, Service: "guest", Caller: caller, Input: []byte("caller")})
		if err != nil || string(res.GetOutput()) != caller {
			t.Errorf("a call of %q is one of %q, %v", caller, res.GetOutput(), err)
		}
	}
}

func (s *suite) cancel(t *testing.T) {
	f := s.fixture(t, Options{Concurrency: 1}, func(p *runnerv1.Plan) { p.Limits.Timeout = durationpb.New(time.Hour) })
	f.want("echo warm", "warm")
	for _, input := range []string{"spin", "sleep"} {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(50*time.Millisecond, cancel)
		_, err := f.call(ctx, input)
		if !errors.Is(err, fault.Canceled) {
			t.Errorf("%s: %v", input, err)
		}
		timer.Stop()
		cancel()
		// There is one slot: if the guest went on, this would wait for ever.
		ctx, cancel = context.WithTimeout(t.Context(), patience)
		if _, err := f.call(ctx, "echo next"); err != nil {
			t.Errorf("after %s: %v", input, err)
		}
		cancel()
	}
}

func (s *suite) deadline(t *testing.T) {
	f := s.fixture(t, Options{Concurrency: 1}, func(p *runnerv1.Plan) { p.Limits.Timeout = durationpb.New(time.Hour) })
	f.want("echo warm", "warm")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := f.call(ctx, "spin")
	// Whichever end notices first says it.
	if !errors.Is(err, fault.Deadline) && !errors.Is(err, fault.GuestTimeout) {
		t.Errorf("got %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := f.call(ctx, "echo next"); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func (s *suite) concurrent(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 8 {
				body := fmt.Sprintf("%d.%d", g, i)
				if i%4 == 3 {
					body += strings.Repeat("x", 50<<10)
				}
				f.want("echo "+body, body)
			}
		})
	}
	wg.Wait()
}

func (s *suite) queueFull(t *testing.T) {
	f := s.fixture(t, Options{Concurrency: 1, Queue: 2}, func(p *runnerv1.Plan) { p.Limits.Timeout = durationpb.New(time.Hour) })
	f.want("echo warm", "warm")
	release := f.hold(3)
	// Calls with a deadline of no time at all see the queue fill up: one that
	// finds room takes it only until then.
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := f.call(ctx, "echo x")
		cancel()
		if errors.Is(err, fault.QueueFull) {
			refused(t, err, fault.QueueFull)
			if !strings.Contains(err.Error(), "3") {
				t.Errorf("the limit is not named: %v", err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("never full: %v", err)
		}
	}
	release()
	testkit.Eventually(f.t, "room again", func() bool { _, err := f.call(t.Context(), "echo x"); return err == nil })
}

// queueTimeout makes calls wait behind one that does not end, with an input that
// a lane carries and with one that it does not.
func (s *suite) queueTimeout(t *testing.T) {
	f := s.fixture(t, Options{Concurrency: 1, Queue: 5}, func(p *runnerv1.Plan) { p.Limits.Timeout = durationpb.New(time.Hour) })
	f.want("echo warm", "warm")
	release := f.hold(1)
	const limit = 50 * time.Millisecond
	for _, input := range []string{"echo x", "echo " + strings.Repeat("x", 100<<10)} {
		deadline := time.Now().Add(patience)
		for {
			began := time.Now()
			_, err := f.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: f.plan, Service: "guest", CallId: "waits", Input: []byte(input), MaxWaitNanos: int64(limit)})
			if err != nil {
				refused(t, err, fault.QueueTimeout)
				if e := fault.FromError(err); time.Since(began) < limit || e.Fix == "" || e.Meta["limit"] == "" {
					t.Errorf("after %s: %+v", time.Since(began), e)
				}
				break
			}
			if time.Now().After(deadline) { // the call that is to be waited for may not have begun
				t.Fatal("no call ever waited")
			}
		}
	}
	release()
	testkit.Eventually(f.t, "room again", func() bool { _, err := f.call(t.Context(), "echo x"); return err == nil })
}

func (s *suite) cancelWaiting(t *testing.T) {
	f := s.fixture(t, Options{Concurrency: 1, Queue: 5}, func(p *runnerv1.Plan) { p.Limits.Timeout = durationpb.New(time.Hour) })
	f.want("echo warm", "warm")
	release := f.hold(1)
	defer release()
	for range 20 { // more than fit into the queue, were they to stay there
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := f.call(ctx, "sleep")
		cancel()
		// A runner that has found calls to be slow does not let it wait.
		if !errors.Is(err, fault.Deadline) && !errors.Is(err, fault.GuestTimeout) && !errors.Is(err, fault.QueueTimeout) {
			t.Fatalf("got %v", err)
		}
	}
}

func (s *suite) drain(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	if f.Drain == nil {
		t.Skip("nothing to drain")
	}
	f.want("echo warm", "warm")
	var wg sync.WaitGroup
	var answered atomic.Int32
	for range 8 {
		wg.Go(func() {
			for {
				res, err := f.call(t.Context(), "nap x")
				if err != nil {
					if e := fault.FromError(err); !e.NotStarted {
						t.Errorf("lost a call: %v (%s)", err, e.Reason)
					}
					return
				}
				if string(res.Output) != "x" {
					t.Errorf("got %q", res.Output)
				}
				answered.Add(1)
			}
		})
	}
	testkit.Eventually(f.t, "calls in flight", func() bool { return answered.Load() > 10 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.Drain(ctx); err != nil {
		t.Errorf("drain: %v", err)
	}
	wg.Wait()
}

func (s *suite) askedOnce(t *testing.T) {
	f := s.fixture(t, Options{Queue: 100}, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { f.want("echo x", "x") })
	}
	wg.Wait()
	if n := f.src.Asked(f.plan); n != 1 {
		t.Errorf("the plan was asked for %d times", n)
	}
	if n := f.src.Asked(hexDigest(s.guest)); n > 1 { // 0 where an earlier test left it on disk
		t.Errorf("the module was asked for %d times", n)
	}
}

func (s *suite) noPlan(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	_, err := f.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: strings.Repeat("0", 64)})
	refused(t, err, fault.PlanNotFound)
}

func (s *suite) prepare(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	// Not in the source: the preparation brings it. Another example is another
	// plan of the same module.
	other := NewSource()
	id, plan := other.Add(s.guest, func(p *runnerv1.Plan) { p.Example = []byte("echo example") })
	for range 3 {
		res, err := f.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: id, Plan: plan})
		if err != nil {
			t.Fatal(err)
		}
		if res.GetPreparation().GetStartTime().AsDuration() <= 0 || res.GetPreparation().GetMemoryBytes() == 0 {
			t.Errorf("got %v", res)
		}
	}
	f.plan = id
	f.want("echo x", "x")
	if n := f.src.Asked(id); n != 0 {
		t.Errorf("a prepared plan was asked for %d times", n)
	}
}

func (s *suite) prepareFails(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	for name, wasm := range map[string][]byte{
		"empty":     {},
		"not wasm":  []byte("<html>"),
		"truncated": s.guest[:len(s.guest)/2],
	} {
		id, plan := f.src.Add(wasm, nil)
		_, err := f.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: id, Plan: plan})
		if fault.FromError(err).ConnectCode() != fault.CodeInvalidArgument {
			t.Errorf("%s: %v (%s)", name, err, fault.FromError(err).Reason)
		}
		_, err = f.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id})
		if e := fault.FromError(err); e.ConnectCode() != fault.CodeInvalidArgument || !e.NotStarted {
			t.Errorf("%s: %v (%s)", name, err, e.Reason)
		}
	}
	f.want("echo still there", "still there")
}

func (s *suite) forged(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	// A digest of its own each time, so that no earlier test left it on disk.
	real := append(tiny(), 0, 9, 8)
	real = fmt.Appendf(real, "%08x", uint32(time.Now().UnixNano()))
	id, plan := f.src.Add(real, nil)
	f.src.Forge(plan.Module, append(tiny(), 0, 9, 8, 'f', 'o', 'r', 'g', 'e', 'r', 'y', '!'))
	_, err := f.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id})
	refused(t, err, fault.Integrity)
	f.src.Forge(plan.Module, real)
	f.plan = id
	f.want("", "")
}

func (s *suite) forgedPlan(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	wasm := fmt.Appendf(tiny(), "%08x", uint32(time.Now().UnixNano()))
	id, plan := f.src.Add(wasm, func(p *runnerv1.Plan) { p.Limits.MemoryBytes = 1 << 20 })
	forged := proto.CloneOf(plan)
	forged.Limits.MemoryBytes = 1 << 30
	f.src.ForgePlan(id, forged)
	_, err := f.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id})
	refused(t, err, fault.Integrity)
	_, err = f.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: id, Plan: forged})
	refused(t, err, fault.Integrity)
}
