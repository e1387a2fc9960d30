package runner_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/runner"
)

// ticker is a service of kind http that answers with one byte, and with one more for
// each four bytes of its body.
func ticker() []byte {
	m := w.New()
	read, write := m.Import("ruedo", "input_read", "ii>i"), m.Import("ruedo", "output_write", "ii>i")
	m.Memory(1, -1)
	m.Export("ruedo_http", m.Func(">"))
	const loop, end, greater, branchIf = 0x03, 0x0b, 0x4a, 0x0d
	m.AsFunction(m.Func(">i", w.Ops(loop, 0x40),
		w.CallWith(write, 64, 1), w.Drop(), w.CallWith(read, 0, 4), w.I32(0), w.Ops(greater), w.Ops(branchIf, 0), w.Ops(end), w.I32(0)))
	return m.Bytes()
}

// TestOpenStreams has 400 streams open on a runner that executes four calls at a
// time. They harm neither functions nor each other, and all of them go on at the same
// time when there is something to do.
func TestOpenStreams(t *testing.T) {
	const streams = 400
	src := executortest.NewSource()
	feed, plan := src.Add(ticker(), nil)
	function, other := src.Add(w.Function(w.I32(0)).Bytes(), nil)
	r := newRunner(t, runner.Config{Concurrency: 4, Streams: streams * 4 / 3}).Bind(src)
	call := func() {
		t.Helper()
		began := time.Now()
		if _, err := r.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: function, Service: other.Service, CallId: "f"}); err != nil {
			t.Errorf("a function after %s: %v", time.Since(began), err)
		}
	}
	call() // the plan is ready from then on

	var work sync.WaitGroup
	opened, ended := make(chan io.Writer), make(chan error, streams)
	open := func(service string) {
		body, send := io.Pipe()
		got := 0
		ctx := executor.WithExchange(t.Context(), &executor.Exchange{Body: body, Respond: func(_ []byte, answer io.Reader) {
			for b := make([]byte, 1); ; got++ {
				if _, err := answer.Read(b); err != nil {
					return
				}
				switch got {
				case 0:
					opened <- send
				case 3:
					send.Close()
				}
			}
		}})
		res, err := r.Execute(ctx, &runnerv1.ExecuteRequest{Plan: feed, Service: service, CallId: "s", Head: []byte("\x05\x00\x00\x00:path\x01\x00\x00\x00/")})
		if err == nil && (!res.Streamed || got != 4) {
			err = fault.New(fault.Internal, "got %d bytes", got)
		}
		ended <- err
	}
	var bodies []io.Writer
	for range streams {
		work.Go(func() { open(plan.Service) })
		select {
		case b := <-opened:
			bodies = append(bodies, b)
		case err := <-ended:
			t.Fatalf("stream %d: %v", len(bodies), err)
		}
	}
	for range 20 {
		call()
	}
	open(plan.Service)
	if err := fault.FromError(<-ended); err.Reason != fault.StreamsFull || !err.NotStarted || err.Meta["limit"] != "400" {
		t.Errorf("one stream too many: %v", err)
	}

	for range 3 {
		for _, b := range bodies {
			work.Go(func() { _, _ = b.Write([]byte("tick")) })
		}
		call()
	}
	for range streams {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	work.Wait()
}

// A caller that leaves ends its stream, whether that waits or queues to go on.
func TestStreamsEndWithTheirCallers(t *testing.T) {
	src := executortest.NewSource()
	feed, plan := src.Add(ticker(), nil)
	r := newRunner(t, runner.Config{Concurrency: 1}).Bind(src)
	var work sync.WaitGroup
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		body, send := io.Pipe()
		began := make(chan struct{})
		x := executor.WithExchange(ctx, &executor.Exchange{Body: body, Respond: func(_ []byte, answer io.Reader) {
			_, _ = answer.Read(make([]byte, 1))
			close(began)
			_, _ = io.Copy(io.Discard, answer)
		}})
		work.Go(func() {
			_, err := r.Execute(x, &runnerv1.ExecuteRequest{Plan: feed, Service: plan.Service, CallId: "s", Head: []byte("\x05\x00\x00\x00:path\x01\x00\x00\x00/")})
			if fault.ReasonOf(err) != fault.Canceled {
				t.Errorf("got %v", err)
			}
		})
		<-began
		work.Go(func() { _, _ = send.Write([]byte("tick")) })
		work.Go(cancel)
	}
	work.Wait()
}
