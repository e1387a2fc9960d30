package runner_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/runner"
)

func newRunner(t testing.TB, cfg runner.Config) *runner.Runner {
	t.Helper()
	if cfg.Cluster == "" {
		cfg.Cluster = "test"
	}
	if cfg.CacheDir == "" {
		cfg.CacheDir = runner.SharedCache
		if cfg.Compiler == nil {
			cfg.Compiler = runner.SharedCompiler
		}
	}
	r, err := runner.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// host serves a core's lanes on a real server. It can stop and come back at the
// same address.
type host struct {
	t     testing.TB
	src   executor.Source
	addr  string
	lanes chan *lane.Lane
	hold  chan struct{} // if it is set, a runner waits for it to be attached
	stop  func()
}

func newHost(t testing.TB, src executor.Source) *host {
	h := &host{t: t, src: src, addr: "127.0.0.1:0", lanes: make(chan *lane.Lane, 16)}
	h.start()
	t.Cleanup(func() { h.stop() })
	return h
}

func (h *host) url() string { return "http://" + h.addr }

func (h *host) start() {
	h.t.Helper()
	lanes := lane.NewHub(lane.HubConfig{
		Core: &ruedov1.Core{Id: "core-1"}, Cluster: "test", Source: h.src,
		OnAttach: func(l *lane.Lane) func() {
			h.lanes <- l
			if h.hold != nil {
				<-h.hold
			}
			return nil
		},
	})
	mux := http.NewServeMux()
	mux.Handle(lanes.Handler())
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: mux, Protocols: &protocols}
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.addr = l.Addr().String()
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	h.stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := lanes.Close(ctx); err != nil {
			h.t.Errorf("lanes: %v", err)
		}
		_ = srv.Close()
		<-done
		h.stop = func() {}
	}
}

func (h *host) lane() *lane.Lane {
	h.t.Helper()
	select {
	case l := <-h.lanes:
		return l
	case <-time.After(15 * time.Second):
		h.t.Fatal("no lane came")
		return nil
	}
}

// serve runs Serve until stop, which returns its result, or until the test
// ends.
func serve(t testing.TB, r *runner.Runner) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	stopped := false
	var err error
	stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			err = <-done
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func inProcess(t *testing.T, src executor.Source, opts executortest.Options) executortest.Harness {
	r := newRunner(t, runner.Config{Concurrency: opts.Concurrency, Queue: opts.Queue})
	return executortest.Harness{Runner: r.Bind(src), Drain: r.Close}
}

func TestInProcess(t *testing.T) { executortest.Run(t, inProcess) }

func TestExchangesInProcess(t *testing.T) { executortest.RunExchanges(t, inProcess) }

func overALane(t *testing.T, src executor.Source, opts executortest.Options) executortest.Harness {
	h := newHost(t, src)
	r := newRunner(t, runner.Config{Concurrency: opts.Concurrency, Queue: opts.Queue, Cores: []string{h.url()}})
	stop := serve(t, r)
	return executortest.Harness{Runner: h.lane(), Drain: func(context.Context) error { return stop() }}
}

func TestOverALane(t *testing.T) { executortest.Run(t, overALane) }

func TestExchangesOverALane(t *testing.T) { executortest.RunExchanges(t, overALane) }

// dispatched is a runner whose calls go through a dispatcher.
type dispatched struct {
	*lane.Lane
	dispatcher *dispatch.Dispatcher
}

func (d dispatched) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	return d.dispatcher.Execute(ctx, req)
}

func TestExchangesThroughDispatchOverLanes(t *testing.T) {
	executortest.RunExchanges(t, func(t *testing.T, src executor.Source, opts executortest.Options) executortest.Harness {
		one, two := overALane(t, src, opts).Runner.(*lane.Lane), overALane(t, src, opts).Runner.(*lane.Lane)
		d := dispatch.New(dispatch.Config{})
		t.Cleanup(d.Close)
		t.Cleanup(d.Add(one))
		t.Cleanup(d.Add(two))
		return executortest.Harness{Runner: dispatched{one, d}}
	})
}
