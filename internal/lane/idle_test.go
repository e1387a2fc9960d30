package lane_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// portal is a port with a hub behind it.
type portal struct {
	*port.Server
	served sync.WaitGroup
}

// open serves one door of the port.
func (p *portal) open(serve func() error) { p.served.Go(func() { _ = serve() }) }

// newPort returns a port whose doors are closed, and the lanes of its hub.
func newPort(t *testing.T, cfg port.Config) (<-chan *lane.Lane, *portal) {
	t.Helper()
	lanes := make(chan *lane.Lane, 1)
	hub := lane.NewHub(lane.HubConfig{
		Core: &ruedov1.Core{Id: "core-1"}, Cluster: "test", Source: &memory{},
		OnAttach: func(l *lane.Lane) func() { lanes <- l; return nil },
	})
	s := &portal{Server: port.New(cfg)}
	streams := port.Bounds{Message: lane.MaxRequest, Body: -1, Stream: true, Unchecked: true}
	s.Connect(port.Bounds{Message: 4 << 10, Weight: 8}, func(opts ...connect.HandlerOption) (string, http.Handler) { return hub.Handler(opts...) }, map[string]port.Bounds{
		runnerv1connect.RunnerServiceAttachProcedure: streams, runnerv1connect.RunnerServiceFetchBodyProcedure: streams, runnerv1connect.RunnerServicePushAnswerProcedure: streams,
		runnerv1connect.RunnerServicePushOutputProcedure: {Message: lane.MaxRequest, Body: lane.MaxPush, Unchecked: true},
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := hub.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		s.served.Wait()
	})
	return lanes, s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestIdleStreamsLastOnAPort holds streams still for much longer than the port lets
// other requests be. Who has no lane does not get that time.
func TestIdleStreamsLastOnAPort(t *testing.T) {
	const patience, still = 200 * time.Millisecond, 2 * time.Second
	lanes, s := newPort(t, port.Config{Idle: patience})
	l := listen(t)
	s.open(func() error { return s.Serve(l) })
	cl, err := lane.Dial(t.Context(), lane.ConnConfig{
		URL: "http://" + l.Addr().String(), Way: way(), Cluster: "test", Runner: &ruedov1.Runner{Id: "edge-1", Concurrency: 4},
		Bind: func(executor.Source) executor.Runner { return serving(copying) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	caller := newCaller(true)
	done := caller.call(t.Context(), <-lanes, "a")
	one := make([]byte, 1)
	if _, err := io.ReadFull(caller.answer, one); err != nil {
		t.Fatal(err)
	}

	// Meanwhile others ask for the same, and send nothing.
	began := time.Now()
	for _, procedure := range []string{runnerv1connect.RunnerServiceFetchBodyProcedure, runnerv1connect.RunnerServicePushAnswerProcedure} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/connect+proto\r\nTransfer-Encoding: chunked\r\n\r\n", procedure)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer, err := io.ReadAll(c) // until the connection is closed
		if err != nil || len(answer) < 12 || string(answer[9:12]) != "403" {
			t.Errorf("%s without a lane: %.60q, %v", procedure, answer, err)
		}
	}
	if left := still - time.Since(began); left > 0 {
		time.Sleep(left) // nothing moves
	}
	_, _ = caller.body.Write([]byte("b"))
	if _, err := io.ReadFull(caller.answer, one); err != nil || string(one) != "b" {
		t.Errorf("after %s: %q, %v", time.Since(began), one, err)
	}
	caller.body.Close()
	_, _ = io.Copy(io.Discard, caller.answer)
	if r := wait(t, done); r.err != nil {
		t.Error(r.err)
	}
}
